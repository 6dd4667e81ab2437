//! What can be set for good: by flags, else by the environment, else in a file, else as it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Source};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate::control::{Budget, ControllerOptions, Mode, Weights};
use tidegate::inspect::Address;

use crate::failure::Failure;
use crate::table;

/// Between two samples of a channel that is only looked at.
pub(crate) const LOOKING_TICK: Duration = Duration::from_millis(10);
const PREFIX: &str = "TIDEGATE_";
/// Names the file.
const CONFIG: &str = "TIDEGATE_CONFIG";

/// Settings that several commands share.
#[derive(Debug, Clone, Default, Args, Serialize)]
pub(crate) struct Flags {
    /// Where the page and the metrics are: ADDRESS:PORT of this machine alone, or unix:PATH; `control` serves only where this is
    /// given
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    /// What costs what
    #[arg(long, value_name = "PROFILE", value_parser = ["latency", "balanced", "efficient"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    /// Mebibytes of rings that all channels may have together
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    #[serde(rename = "budget_mib", skip_serializing_if = "Option::is_none")]
    budget: Option<u64>,
    /// Model file, in place of the packaged one
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<PathBuf>,
}

/// Those of a command that serves and controls nothing.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServingFlags {
    /// Where the page and the metrics are: ADDRESS:PORT of this machine alone, or unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    #[command(flatten)]
    looking: LookingFlags,
}

/// Those of a command that only looks.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LookingFlags {
    /// Model file that forecasts, in place of the packaged one
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

impl From<ServingFlags> for Flags {
    fn from(ServingFlags { listen, looking }: ServingFlags) -> Self {
        Self { listen, ..looking.into() }
    }
}

impl From<LookingFlags> for Flags {
    fn from(LookingFlags { model }: LookingFlags) -> Self {
        Self { model, ..Self::default() }
    }
}

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    listen: String,
    profile: String,
    budget_mib: Option<u64>,
    model: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".into(), profile: "balanced".into(), budget_mib: None, model: None }
    }
}

/// Names of the settings.
const NAMES: [&str; 4] = ["listen", "profile", "budget_mib", "model"];

/// `tidegate config`.
#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting, its value, and where that comes from
    Show {
        #[command(flatten)]
        flags: Flags,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// The file: `TIDEGATE_CONFIG`, else `tidegate/config.toml` in `XDG_CONFIG_HOME` or `~/.config` (XDG Base Directory
/// Specification).
fn file() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(CONFIG) {
        return Some(named.into());
    }
    let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|base| base.is_absolute());
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(base.join("tidegate/config.toml"))
}

impl Flags {
    fn layers(&self) -> Result<Figment, Failure> {
        let mut layers = Figment::from(Serialized::defaults(Settings::default()));
        if let Some(path) = file() {
            if std::env::var_os(CONFIG).is_some() && !path.is_file() {
                return Err(Failure::Usage(format!("{CONFIG} names {}, which is no file", path.display())));
            }
            if path.is_file() {
                layers = layers.merge(Toml::file_exact(path));
            }
        }
        let flags = Serialized::defaults(self);
        Ok(layers.merge(Env::prefixed(PREFIX).only(&NAMES)).merge(flags))
    }

    /// What is in force.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let layers = self.layers()?;
        layers.extract().map_err(|error| Failure::Usage(format!("a setting is wrong: {error}")))
    }

    /// Whether a place to listen at was named by a flag.
    pub(crate) fn names_a_place(&self) -> bool {
        self.listen.is_some()
    }
}

impl Settings {
    pub(crate) fn address(&self) -> Result<Address, Failure> {
        let wrong = |why| Failure::Usage(format!("listen: {why}"));
        self.listen.replacen("localhost:", "127.0.0.1:", 1).parse().map_err(wrong)
    }

    /// Options of a controller, to be completed by the command.
    pub(crate) fn controller(&self) -> Result<ControllerOptions, Failure> {
        let wrong = |why| Failure::Usage(format!("profile: {why}"));
        let weights: Weights = self.profile.parse().map_err(wrong)?;
        let budget = match self.budget_mib {
            Some(mebibytes @ 1..=0x10_0000) => Some(Arc::new(Budget::new(mebibytes << 20))),
            Some(other) => return Err(Failure::Usage(format!("budget_mib is 1 to 1,048,576, and not {other}"))),
            None => None,
        };
        let model = crate::models::forecast_model(self.model.as_deref())?;
        Ok(ControllerOptions { weights, budget, model, ..ControllerOptions::default() })
    }
}

/// Options of a watcher, which controls nothing.
pub(crate) fn watcher(settings: &Settings) -> Result<ControllerOptions, Failure> {
    Ok(ControllerOptions { mode: Mode::Off, tick: LOOKING_TICK, budget: None, ..settings.controller()? })
}

pub(crate) fn run(command: &Config) -> Result<(), Failure> {
    let ConfigCommand::Show { flags, json } = &command.command;
    let settings = flags.settings()?;
    settings.address()?;
    settings.controller()?;
    let values = json!(settings);
    let layers = flags.layers()?;
    let rows: Vec<(&str, serde_json::Value, String)> =
        NAMES.iter().map(|name| (*name, values[*name].clone(), source(&layers, flags, name))).collect();
    if *json {
        let settings: serde_json::Map<_, _> = rows
            .iter()
            .map(|(name, value, source)| ((*name).into(), json!({ "value": value, "source": source })))
            .collect();
        println!("{}", json!({ "version": 1, "settings": settings }));
        return Ok(());
    }
    let mut table = table::plain(&["SETTING", "VALUE", "FROM"]);
    for (name, value, source) in rows {
        let value = match value {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        table.add_row([name, &value, &source]);
    }
    println!("{table}");
    Ok(())
}

/// Where a value comes from.
fn source(layers: &Figment, flags: &Flags, name: &str) -> String {
    if json!(flags).get(name).is_some() {
        return "flag".into();
    }
    match layers.find_metadata(name) {
        Some(found) => match &found.source {
            Some(Source::File(path)) => path.display().to_string(),
            _ if found.name.contains(PREFIX) => format!("{PREFIX}{}", name.to_uppercase()),
            _ => "default".into(),
        },
        None => "default".into(),
    }
}
