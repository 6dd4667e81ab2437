//! How commands fail: one line that says what is wrong and the way out, and an exit code for its kind.

use std::process::ExitCode;

use tidegate::channel::ChannelError;
use tidegate::model::ModelError;
use tidegate::telemetry::{RecordError, TraceError};
use tidegate_training::{DatasetError, TrainError};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for makes no sense: exit code 2, as clap's own.
    Usage(String),
    /// What is needed is not there: exit code 3.
    Environment(String),
    /// A file is not what it should be: exit code 4.
    Corrupt(String),
    /// The user ended it: exit code 130, as shells have it for SIGINT.
    Interrupted,
}

impl Failure {
    /// Prints the line and yields the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (line, code) = match self {
            Self::Usage(line) => (line, 2),
            Self::Environment(line) => (line, 3),
            Self::Corrupt(line) => (line, 4),
            Self::Interrupted => ("interrupted; what it had begun is gone".into(), 130),
        };
        eprintln!("tidegate: {}", line.replace('\n', " "));
        ExitCode::from(code)
    }

    pub(crate) fn io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Environment(format!("cannot {doing} {}: {error}", path.display()))
    }
}

impl From<DatasetError> for Failure {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Corrupt { .. } => Self::Corrupt(error.to_string()),
            _ => Self::Environment(error.to_string()),
        }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Dataset(error) => error.into(),
            TrainError::BadParam { .. } => Self::Usage(error.to_string()),
            _ => Self::Environment(error.to_string()),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::BadOption { .. } | ChannelError::Shm(tidegate::ShmError::BadName { .. }) => {
                Self::Usage(error.to_string())
            }
            ChannelError::Corrupt { .. } => Self::Corrupt(error.to_string()),
            _ => Self::Environment(error.to_string()),
        }
    }
}

impl From<tidegate::ShmError> for Failure {
    fn from(error: tidegate::ShmError) -> Self {
        ChannelError::from(error).into()
    }
}

impl From<TraceError> for Failure {
    fn from(error: TraceError) -> Self {
        match error {
            TraceError::Io(_) => Self::Environment(error.to_string()),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Trace(error) => error.into(),
            _ => Self::Usage(error.to_string()),
        }
    }
}
