//! The trace format: an append log of samples that a crash can only shorten.
//!
//! ```text
//! "TGTRACE2"                     8 bytes
//! frame: length u32 | crc u32 | body    little-endian; CRC-32 (IEEE 802.3) of the body
//!   first body: TraceHeader, later ones: Sample, both in postcard's wire format
//! ```

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::telemetry::Sample;

const MAGIC: [u8; 8] = *b"TGTRACE2";
/// Longest frame body, bytes: more is damage.
const BODY_BYTES_MAX: usize = 4096;

/// What a trace is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceHeader {
    /// Name of the channel.
    pub channel: String,
    /// Tick that was asked for, nanoseconds.
    pub tick_ns: u64,
    /// When recording began, nanoseconds since the Unix epoch.
    pub began_unix_ns: u64,
}

/// A trace could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file does not begin as a trace does.
    #[error("not a tidegate trace: it begins with \"{}\" instead of \"{}\"", found.escape_ascii(), MAGIC.escape_ascii())]
    Foreign {
        /// First bytes of the file.
        found: Vec<u8>,
    },
    /// A whole frame is damaged. What came before it has been read.
    #[error("the trace is damaged at byte {offset}: {what}")]
    Corrupt {
        /// Where the frame begins, bytes from the file's beginning.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Appends samples to a trace.
#[derive(Debug)]
pub struct TraceWriter<W> {
    output: W,
}

impl<W: Write> TraceWriter<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(mut output: W, header: &TraceHeader) -> Result<Self, TraceError> {
        output.write_all(&MAGIC)?;
        let mut writer = Self { output };
        writer.frame(header)?;
        Ok(writer)
    }

    /// Appends one sample.
    ///
    /// # Errors
    /// Those of writing.
    pub fn append(&mut self, sample: &Sample) -> Result<(), TraceError> {
        self.frame(sample)
    }

    /// Hands what was appended on to the file.
    ///
    /// # Errors
    /// Those of writing.
    pub fn flush(&mut self) -> Result<(), TraceError> {
        Ok(self.output.flush()?)
    }

    fn frame(&mut self, body: &impl Serialize) -> Result<(), TraceError> {
        let body = postcard::to_stdvec(body).map_err(io::Error::other)?;
        let mut frame = Vec::with_capacity(8 + body.len());
        frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
        frame.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        frame.extend_from_slice(&body);
        // One write a frame, so that a crash between two leaves whole frames.
        Ok(self.output.write_all(&frame)?)
    }
}

/// Reads a trace up to its last whole frame. Iterates over the samples.
#[derive(Debug)]
pub struct TraceReader<R> {
    input: R,
    offset: u64,
    header: TraceHeader,
    cut_short: bool,
    ended: bool,
}

impl<R: Read> TraceReader<R> {
    /// Reads the beginning of a trace. Wrap a file in [`std::io::BufReader`].
    ///
    /// # Errors
    /// [`TraceError::Foreign`] if it is none, [`TraceError::Corrupt`] if its header is damaged or missing.
    pub fn new(mut input: R) -> Result<Self, TraceError> {
        let mut magic = Vec::new();
        input.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        if magic != MAGIC {
            return Err(TraceError::Foreign { found: magic });
        }
        let header = TraceHeader { channel: String::new(), tick_ns: 0, began_unix_ns: 0 };
        let mut reader = Self { input, offset: MAGIC.len() as u64, header, cut_short: false, ended: false };
        let header = reader.frame()?;
        reader.header = header.ok_or(TraceError::Corrupt { offset: reader.offset, what: "the header is missing" })?;
        Ok(reader)
    }

    /// What the trace is of.
    pub fn header(&self) -> &TraceHeader {
        &self.header
    }

    /// Whether the file ended inside a frame, as after a crash; known once the iteration has ended.
    pub fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    fn frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, TraceError> {
        let mut head = [0u8; 8];
        let got = read_up_to(&mut self.input, &mut head)?;
        if got < head.len() {
            self.cut_short = got > 0;
            return Ok(None);
        }
        let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let (len, crc) = (u32::from_le_bytes([l0, l1, l2, l3]) as usize, u32::from_le_bytes([c0, c1, c2, c3]));
        let corrupt = |what| TraceError::Corrupt { offset: self.offset, what };
        if len > BODY_BYTES_MAX {
            return Err(corrupt("a frame is longer than any can be"));
        }
        let mut body = [0u8; BODY_BYTES_MAX];
        if read_up_to(&mut self.input, &mut body[..len])? < len {
            self.cut_short = true;
            return Ok(None);
        }
        if crc32fast::hash(&body[..len]) != crc {
            return Err(corrupt("a frame's checksum does not match its body"));
        }
        let (value, rest) = postcard::take_from_bytes(&body[..len]).map_err(|_| corrupt("a frame has other fields"))?;
        if !rest.is_empty() {
            return Err(corrupt("a frame has more fields"));
        }
        self.offset += (head.len() + len) as u64;
        Ok(Some(value))
    }
}

impl<R: Read> Iterator for TraceReader<R> {
    type Item = Result<Sample, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.frame().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Fills `buffer` as far as the input goes; the number of bytes read.
fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(bytes) => got += bytes,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WaitStrategy;

    fn sample(at_ns: u64) -> Sample {
        Sample {
            at_ns,
            tick_ns: 1_000_000,
            arrived_messages: 3,
            arrived_bytes: 300,
            departed_messages: 2,
            departed_bytes: 200,
            backlog_bytes: 100,
            backlog_bytes_max: 100,
            ring_bytes: 1 << 16,
            senders: 1,
            stalls: 1,
            blocked_ns: 5,
            idles: 1,
            idle_ns: 7,
            strategy: WaitStrategy::SpinPark { budget_ns: 40_000 },
            ..Sample::default()
        }
    }

    fn trace() -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = TraceHeader { channel: "orders".into(), tick_ns: 1_000_000, began_unix_ns: 1 };
        let mut writer = TraceWriter::new(&mut bytes, &header).unwrap();
        (1..=5).for_each(|at_ns| writer.append(&sample(at_ns)).unwrap());
        bytes
    }

    #[test]
    fn a_trace_is_read_back_as_written() {
        let bytes = trace();
        let mut reader = TraceReader::new(&bytes[..]).unwrap();
        assert_eq!(reader.header().channel, "orders");
        let samples: Vec<_> = reader.by_ref().collect::<Result<_, _>>().unwrap();
        assert_eq!(samples, (1..=5).map(sample).collect::<Vec<_>>());
        assert!(!reader.is_cut_short());
    }

    #[test]
    fn a_trace_cut_anywhere_reads_up_to_its_last_whole_frame() {
        let whole = trace();
        let mut counts = Vec::new();
        for len in 0..whole.len() {
            match TraceReader::new(&whole[..len]) {
                Ok(mut reader) => {
                    let read: Result<Vec<_>, _> = reader.by_ref().collect();
                    counts.push(read.unwrap().len());
                }
                Err(error) => {
                    assert!(matches!(error, TraceError::Foreign { .. } | TraceError::Corrupt { .. }), "{error}");
                }
            }
        }
        assert!(counts.is_sorted() && counts.last() == Some(&4), "{counts:?}");
    }

    #[test]
    fn a_flipped_bit_is_found_wherever_it_is() {
        let whole = trace();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let same = TraceReader::new(&damaged[..])
                .and_then(|mut reader| {
                    let samples: Vec<Sample> = reader.by_ref().collect::<Result<_, _>>()?;
                    Ok((samples.len() == 5, reader.is_cut_short()))
                })
                .is_ok_and(|(all, cut_short)| all && !cut_short);
            assert!(!same, "bit {bit} changed nothing");
        }
    }
}
