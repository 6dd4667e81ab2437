//! This machine's profile, where the user's configuration has one.

use std::path::{Path, PathBuf};

use crate::control::model_file::read_bounded;
use crate::model::{ContentionModel, ModelError};

/// Where a profile is looked for before its usual place.
const PATH_VARIABLE: &str = "TIDEGATE_PROFILE";

/// Where a contention model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileSource {
    /// This machine's own profile.
    Host(PathBuf),
    /// The packaged one, and why.
    Packaged {
        /// What is wrong with this machine's own, or that there is none.
        reason: String,
    },
}

/// This machine's contention model, from [`host_profile_path`]; the packaged one where there is none, or it cannot be used.
///
/// # Errors
/// The packaged one was made for another build.
pub fn contention_model() -> Result<(ContentionModel, ProfileSource), ModelError> {
    let found = match host_profile_path() {
        None => Err("neither HOME nor XDG_CONFIG_HOME is set".to_owned()),
        Some(path) => match of_this_machine(&path) {
            Ok(model) => Ok((model, ProfileSource::Host(path))),
            Err(why) => Err(format!("{}: {why}", path.display())),
        },
    };
    found.or_else(|reason| Ok((ContentionModel::packaged()?, ProfileSource::Packaged { reason })))
}

/// Where this user's profile of this machine lies: where the environment variable `TIDEGATE_PROFILE` says, or
/// `tidegate/host.json` in the user's directory of configuration (`$XDG_CONFIG_HOME`, or `~/.config`).
pub fn host_profile_path() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable(PATH_VARIABLE).or_else(|| {
        let configuration = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")))?;
        Some(configuration.join("tidegate/host.json"))
    })
}

fn of_this_machine(path: &Path) -> Result<ContentionModel, String> {
    let model = ContentionModel::from_json(&read_bounded(path)?).map_err(|error| error.to_string())?;
    let (profiled, here) = (model.profile().machine.cpus as usize, crate::channel::cpus());
    if profiled == here {
        Ok(model)
    } else {
        Err(format!("it is of a machine with {profiled} CPUs, and this one has {here}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_of_another_machine_or_of_none_is_refused_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host.json");
        assert!(of_this_machine(&path).unwrap_err().contains("No such file"));
        let mut profile = ContentionModel::packaged().unwrap().profile().clone();
        profile.machine.cpus = crate::channel::cpus() as u32;
        std::fs::write(&path, profile.clone().sealed().to_json().unwrap()).unwrap();
        assert_eq!(of_this_machine(&path).unwrap().profile(), &profile.clone().sealed());
        profile.machine.cpus += 1;
        std::fs::write(&path, profile.sealed().to_json().unwrap()).unwrap();
        assert!(of_this_machine(&path).unwrap_err().contains("CPUs"));
        std::fs::write(&path, "{}").unwrap();
        assert!(of_this_machine(&path).unwrap_err().contains("not a model file"));
    }
}
