//! Recorded arrivals: `NAME.csv.gz` with the columns `t_ns` (ascending nanoseconds) and `bytes`, or `NAME.tgtrace` as
//! `tidegate record` writes it.

use std::io;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use tidegate::model::{ServiceRate, TICK_NS};
use tidegate::telemetry::TraceReader;

/// Suffix of arrival traces.
const SUFFIX: &str = ".csv.gz";
/// Suffix of recorded channels.
const RECORDED_SUFFIX: &str = ".tgtrace";
/// Rows read of one trace at most.
const ROWS_MAX: usize = 50_000_000;

/// Arrivals of one recording.
#[derive(Debug, Clone)]
pub struct ArrivalTrace {
    /// File name without its suffix.
    pub name: String,
    /// Origin; traces of one family are never split between training and test.
    pub family: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Nanoseconds since the first event, ascending, and bytes of each message.
    pub events: Vec<(u64, u32)>,
    /// Whether the recording ends inside a frame: its recorder was killed, or the file was cut.
    pub is_cut_short: bool,
}

/// Traces could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The path cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory holds no trace.
    #[error("no {SUFFIX} or {RECORDED_SUFFIX} file in {}: give a directory of recorded arrivals", path.display())]
    NoTraces {
        /// The directory.
        path: PathBuf,
    },
    /// The file is not a trace, or damaged.
    #[error("{} is not a sound trace: {what}; it must be what `tidegate record` wrote ({RECORDED_SUFFIX}), or gzip of CSV with the columns t_ns,bytes ({SUFFIX})", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where there is one.
        what: String,
    },
}

/// Reads every arrival trace in `directory`, sorted by name.
///
/// # Errors
/// The directory cannot be read or holds none, or one of them is not sound.
pub fn read_directory(directory: &Path) -> Result<Vec<ArrivalTrace>, DatasetError> {
    let unreadable = |source| DatasetError::Unreadable { path: directory.into(), source };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .map_err(unreadable)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| [SUFFIX, RECORDED_SUFFIX].iter().any(|suffix| path.to_string_lossy().ends_with(suffix)))
        .collect();
    paths.sort();
    if paths.is_empty() {
        return Err(DatasetError::NoTraces { path: directory.into() });
    }
    paths.iter().map(|path| read_trace(path)).collect()
}

/// Reads one arrival trace.
///
/// # Errors
/// The file cannot be read, or is not gzip, has other columns, a number that is none, or times that descend.
pub fn read_trace(path: &Path) -> Result<ArrivalTrace, DatasetError> {
    let unreadable = |source| DatasetError::Unreadable { path: path.into(), source };
    let packed = std::fs::read(path).map_err(unreadable)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Some(name) = name.strip_suffix(RECORDED_SUFFIX) {
        return recorded_trace(name, &packed).map_err(|what| DatasetError::Corrupt { path: path.into(), what });
    }
    parse_trace(name.strip_suffix(SUFFIX).unwrap_or(&name), &packed)
        .map_err(|what| DatasetError::Corrupt { path: path.into(), what })
}

/// Messages of one tick that are kept apart; of more, each stands for several.
const TICK_MESSAGES_MAX: u64 = 1 << 16;

/// A recorded channel as arrivals: what each tick offered, in as many messages as came, spread over it. Time that senders
/// were blocked counts as time in which they would have offered as much again.
fn recorded_trace(name: &str, bytes: &[u8]) -> Result<ArrivalTrace, String> {
    let mut rate = ServiceRate::default();
    let (mut events, mut ended_ns) = (Vec::new(), 0);
    let mut reader = TraceReader::new(bytes).map_err(|e| e.to_string())?;
    for sample in reader.by_ref() {
        let sample = sample.map_err(|e| e.to_string())?;
        let Some(seen) = rate.observe(&sample) else { continue };
        let offered = seen.demand.arrivals * seen.service_bytes * sample.tick_ns as f64 / TICK_NS as f64;
        if ended_ns > sample.at_ns {
            return Err(format!("the time descends from {ended_ns} to {}", sample.at_ns));
        }
        let messages = sample.arrived_messages.clamp(1, TICK_MESSAGES_MAX);
        if events.len() + messages as usize > ROWS_MAX {
            return Err(format!("it has more than {ROWS_MAX} messages"));
        }
        if offered >= 1.0 {
            let begun_ns = sample.at_ns.saturating_sub(sample.tick_ns).max(ended_ns);
            let at_ns = |i: u64| begun_ns + ((sample.at_ns - begun_ns) as f64 * i as f64 / messages as f64) as u64;
            // A float-to-integer cast saturates: messages of 4 GiB and more are all the same.
            let bytes = ((offered / messages as f64) as u32).max(1);
            events.extend((1..=messages).map(|i| (at_ns(i), bytes)));
        }
        ended_ns = sample.at_ns;
    }
    if events.len() < 2 {
        return Err(format!("messages arrived in {} of its ticks, at least 2 are needed", events.len()));
    }
    Ok(ArrivalTrace {
        family: family(name).into(),
        name: name.into(),
        sha256: digest(bytes),
        events,
        is_cut_short: reader.is_cut_short(),
    })
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a trace from the bytes of its file.
///
/// # Errors
/// A sentence that says what is wrong, with the line where there is one.
pub fn parse_trace(name: &str, packed: &[u8]) -> Result<ArrivalTrace, String> {
    let events = read_events(GzDecoder::new(packed))?;
    Ok(ArrivalTrace {
        family: family(name).into(),
        name: name.into(),
        sha256: digest(packed),
        events,
        is_cut_short: false,
    })
}

/// Opens a file to read, unpacked if its name ends in `.gz`.
///
/// # Errors
/// It cannot be opened.
pub fn open_unpacked(path: &Path) -> io::Result<Box<dyn io::Read>> {
    let file = std::fs::File::open(path)?;
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if is_packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) })
}

/// Reads the rows of a trace, already unpacked.
///
/// # Errors
/// A sentence that says what is wrong in which line.
pub fn read_events(input: impl io::Read) -> Result<Vec<(u64, u32)>, String> {
    let mut rows = csv::Reader::from_reader(input);
    let header = rows.headers().map_err(|e| e.to_string())?;
    if header != ["t_ns", "bytes"].as_slice() {
        let found: Vec<_> = header.iter().collect();
        return Err(format!("its columns are {}, t_ns,bytes are needed", found.join(",")));
    }
    let mut events: Vec<(u64, u32)> = Vec::new();
    for (row, line) in rows.deserialize::<(u64, u32)>().zip(2..) {
        let (t_ns, bytes) = row.map_err(|_| format!("line {line} is no pair of whole numbers"))?;
        if let Some((before, _)) = events.last()
            && t_ns < *before
        {
            return Err(format!("line {line}: the time descends from {before} to {t_ns}"));
        }
        if events.len() == ROWS_MAX {
            return Err(format!("it has more than {ROWS_MAX} rows"));
        }
        events.push((t_ns, bytes));
    }
    if events.len() < 2 {
        return Err(format!("it has {} rows, at least 2 are needed", events.len()));
    }
    Ok(events)
}

/// Families of traces whose names do not begin with them; else it is the name up to the first `_`.
const FAMILIES: [(&str, &str); 5] = [
    ("packets_vnc", "ndpi"),
    ("packets_alexa", "ndpi"),
    ("packets_teams", "ndpi"),
    ("packets_tls", "suricata"),
    ("packets_modbus", "modbus"),
];

fn family(name: &str) -> &str {
    let known = FAMILIES.iter().find(|(trace, _)| *trace == name);
    known.map_or_else(|| name.split('_').next().unwrap_or(name), |(_, family)| family)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_trace_is_said_with_its_line() {
        let wrong = |text: &str| read_events(text.as_bytes()).unwrap_err();
        assert!(wrong("time,size\n1,2\n3,4\n").contains("columns"));
        assert!(wrong("t_ns,bytes\n5,1\n4,1\n").contains("line 3: the time descends from 5 to 4"));
        assert!(wrong("t_ns,bytes\n5,1\nx,1\n").contains("line 3"));
        assert!(wrong("t_ns,bytes\n5,1\n").contains("1 rows"));
        assert_eq!(read_events("t_ns,bytes\n5,1\n5,2\n".as_bytes()).unwrap(), [(5, 1), (5, 2)]);
    }

    #[test]
    fn a_file_that_is_not_gzip_is_corrupt_and_a_missing_one_unreadable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.csv.gz");
        assert!(matches!(read_trace(&path), Err(DatasetError::Unreadable { .. })));
        assert!(matches!(read_directory(directory.path()), Err(DatasetError::NoTraces { .. })));
        std::fs::write(&path, "t_ns,bytes\n1,2\n3,4\n").unwrap();
        assert!(matches!(read_trace(&path), Err(DatasetError::Corrupt { .. })));
    }

    #[test]
    fn a_recorded_channel_is_read_as_the_bytes_that_each_tick_offered() {
        use tidegate::Channel;
        use tidegate::telemetry::record;
        let channel = Channel::options().create_anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("orders.tgtrace");
        let mut ticks = 0;
        record(&channel, "orders", std::time::Duration::from_micros(200), File::create(&path).unwrap(), |_| {
            sender.send(&[0; 92]).unwrap();
            drop(receiver.recv().unwrap());
            ticks += 1;
            ticks < 50
        })
        .unwrap();
        let trace = read_trace(&path).unwrap();
        assert_eq!((trace.name.as_str(), trace.events.len()), ("orders", 49));
        // One frame a tick: 8 bytes of header, 92 of payload, rounded up to words.
        assert!(trace.events.iter().all(|event| (103..=104).contains(&event.1)), "{:?}", trace.events);
        assert!(trace.events.is_sorted_by_key(|event| event.0));
        std::fs::write(&path, b"TGTRACE0").unwrap();
        assert!(matches!(read_trace(&path), Err(DatasetError::Corrupt { .. })));
    }

    #[test]
    fn traces_of_one_origin_are_one_family() {
        assert_eq!(["packets_vnc", "lttng_kernel", "packets_tls"].map(family), ["ndpi", "lttng", "suricata"]);
    }
}
