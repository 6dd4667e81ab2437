//! Files that are read from outside: traces and models.

use tidegate::model::{FEATURES, ModelFile, OverflowModel};
use tidegate::telemetry::{TraceHeader, TraceReader, TraceWriter};

/// Reads bytes as a trace, to its end or its first error; how many samples they are, if they are a trace.
pub(crate) fn read_trace(bytes: &[u8]) -> Option<usize> {
    let reader = TraceReader::new(bytes).ok()?;
    Some(reader.take_while(Result::is_ok).count())
}

/// A trace whose frames are what stands between bytes 0xff: their checksums hold, and nothing else needs to.
pub(crate) fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut trace = Vec::new();
    let header = TraceHeader { channel: "any".into(), tick_ns: 1, began_unix_ns: 1 };
    TraceWriter::new(&mut trace, &header).expect("a vector takes it");
    for body in bytes.split(|&byte| byte == 0xff) {
        trace.extend_from_slice(&(body.len() as u32).to_le_bytes());
        trace.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        trace.extend_from_slice(body);
    }
    trace
}

/// Reads bytes as a model, also with the checksum that they should have, and forecasts with it; whether they are one.
pub(crate) fn read_model(bytes: &[u8]) -> bool {
    let sealed = serde_json::from_slice::<ModelFile>(bytes).map(ModelFile::sealed);
    let models = [OverflowModel::from_json(bytes).ok(), sealed.ok().and_then(|file| file.check().ok())];
    for model in models.iter().flatten() {
        for feature in [0.0, 1.0, 1e6, f64::MAX, f64::INFINITY] {
            let forecast = model.forecast(&[feature.min(40.0); FEATURES]);
            assert!(forecast.peak_backlog.is_finite() && forecast.peak_backlog >= 0.0, "{forecast:?}");
        }
    }
    models.iter().any(Option::is_some)
}

/// Changes of some bytes, each other for each number.
fn damaged(bytes: &[u8], number: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..1 + number % 5 {
        // Xorshift (Marsaglia, "Xorshift RNGs", 2003).
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = (random >> 8) as usize % bytes.len();
        match random & 3 {
            0 => bytes[at] = (random >> 40) as u8,
            1 => bytes[at] ^= 1 << (random >> 40 & 7),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, (random >> 40) as u8),
        }
    }
    bytes
}

pub(crate) fn any_bytes_are_read_as_a_trace_or_refused() {
    let mut trace = Vec::new();
    let header = TraceHeader { channel: "orders".into(), tick_ns: 1_000_000, began_unix_ns: 1 };
    let mut writer = TraceWriter::new(&mut trace, &header).expect("a vector takes it");
    let channel = tidegate::Channel::options().create_anonymous().expect("channel");
    let mut sampler = tidegate::telemetry::Sampler::new(&channel);
    let samples: Vec<_> = (0..4).map(|_| sampler.sample()).collect();
    samples.iter().for_each(|sample| writer.append(sample).expect("a vector takes it"));
    assert_eq!(read_trace(&trace), Some(4));
    // What `framed` makes frames of.
    let bodies: Vec<_> = samples.iter().map(|sample| postcard::to_stdvec(sample).expect("a sample")).collect();
    let bodies = bodies.join(&0xff);
    let (mut refused, mut read) = (0, 0);
    for number in 0..20_000 {
        let outcomes = [read_trace(&damaged(&trace, number)), read_trace(&framed(&damaged(&bodies, number)))];
        for outcome in outcomes {
            assert!(outcome.is_none_or(|samples| samples <= 10));
            *if outcome.is_some_and(|samples| samples > 0) { &mut read } else { &mut refused } += 1;
        }
    }
    assert!(refused > 1000 && read > 1000, "{refused} damaged and {read} that look sound");
}

pub(crate) fn any_bytes_are_read_as_a_model_or_refused() {
    let model = include_bytes!("../../models/overflow.json");
    assert!(read_model(model));
    let (mut refused, mut read) = (0, 0);
    for number in 0..4_000 {
        *if read_model(&damaged(model, number)) { &mut read } else { &mut refused } += 1;
    }
    assert!(refused > 1000 && read > 10, "{refused} damaged and {read} that look sound");
}
