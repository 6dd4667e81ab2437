//! Which model forecasts, and why none does.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::control::model_file::read_bounded;
use crate::model::OverflowModel;

const RULE_OF_THUMB: &str = "rule_of_thumb";

/// Where a controller's forecast comes from. Whatever is wrong with a model, the rule of thumb takes its place, the channel
/// goes on, and the journal says why.
#[derive(Debug, Clone, Default)]
pub enum ForecastModel {
    /// The packaged model, if it is proven.
    #[default]
    Packaged,
    /// The model in this file, as `tidegate train` writes it, if it is proven; read once, when the controller is made.
    File(PathBuf),
    /// This model, proven or not.
    Given(Box<OverflowModel>),
    /// The rule of thumb.
    RuleOfThumb,
}

/// What forecasts a channel's backlog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct InCharge {
    /// The channel's name.
    pub channel: String,
    /// How the model was fitted; `rule_of_thumb` where there is none.
    pub forecast: String,
    /// Why it is in charge.
    pub reason: String,
}

impl InCharge {
    /// Whether a model forecasts, and no rule of thumb.
    pub fn is_model(&self) -> bool {
        self.forecast != RULE_OF_THUMB
    }
}

impl ForecastModel {
    pub(crate) fn load(&self, channel: &str) -> (Option<OverflowModel>, InCharge) {
        let found = match self {
            Self::RuleOfThumb => Err("no model was asked for".to_owned()),
            Self::Given(model) => Ok(((**model).clone(), "it was given".to_owned())),
            Self::Packaged => OverflowModel::packaged().map_err(|error| error.to_string()).and_then(proven),
            Self::File(path) => read(path).and_then(proven).map_err(|why| format!("{}: {why}", path.display())),
        };
        match found {
            Ok((model, reason)) => {
                let forecast = model.file().method.clone();
                (Some(model), InCharge { channel: channel.into(), forecast, reason })
            }
            Err(reason) => (None, InCharge { channel: channel.into(), forecast: RULE_OF_THUMB.into(), reason }),
        }
    }
}

fn read(path: &Path) -> Result<OverflowModel, String> {
    OverflowModel::from_json(&read_bounded(path)?).map_err(|error| error.to_string())
}

fn proven(model: OverflowModel) -> Result<(OverflowModel, String), String> {
    let standing = "did better than each rule of thumb, on average over families of traces it had not seen";
    if model.is_proven() {
        Ok((model, format!("it {standing}")))
    } else {
        Err(format!("the model is a candidate: it is not proven that it {standing}"))
    }
}
