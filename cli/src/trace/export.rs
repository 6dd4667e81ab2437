//! `tidegate trace export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tidegate::telemetry::{Sample, TraceReader};

use super::columns::{COLUMNS, STRATEGY};
use crate::failure::Failure;
use crate::whole_file::WholeFile;

/// Samples in a row group: what is in memory at a time.
const GROUP: usize = 1 << 16;

/// `tidegate trace export`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("format").required(true)))]
pub(super) struct Export {
    /// Trace file
    trace: PathBuf,
    /// Parquet file to write
    #[arg(long, value_name = "FILE", group = "format")]
    parquet: Option<PathBuf>,
    /// CSV file to write; - is the standard output
    #[arg(long, value_name = "FILE", group = "format")]
    csv: Option<PathBuf>,
}

/// Samples up to the first frame that is damaged.
type Samples<'a> = &'a mut dyn Iterator<Item = Result<Sample, Failure>>;

pub(super) fn run(command: &Export) -> Result<(), Failure> {
    let mut reader = super::open(&command.trace)?;
    let (count, path) = {
        let samples = &mut samples_of(&mut reader, &command.trace);
        match (&command.parquet, &command.csv) {
            (Some(path), _) => (whole(&command.trace, path, |file| write_parquet(samples, file, path))?, path),
            (None, Some(path)) if path.as_os_str() == "-" => {
                write_csv(samples, io::stdout().lock(), path)?;
                return Ok(());
            }
            (None, Some(path)) => (whole(&command.trace, path, |file| write_csv(samples, file, path))?, path),
            (None, None) => return Err(Failure::Usage("one of --parquet and --csv is needed".into())),
        }
    };
    let cut = if reader.is_cut_short() { "; the trace ends inside a frame, as after a crash" } else { "" };
    println!("wrote {count} samples to {}{cut}", path.display());
    Ok(())
}

fn samples_of<'a>(
    reader: &'a mut TraceReader<io::BufReader<File>>,
    path: &'a Path,
) -> impl Iterator<Item = Result<Sample, Failure>> + use<'a> {
    reader.by_ref().map(|sample| sample.map_err(|error| super::of(path, &error)))
}

/// Writes a file in one step: nobody finds half of it.
fn whole<T>(trace: &Path, path: &Path, write: impl FnOnce(&File) -> Result<T, Failure>) -> Result<T, Failure> {
    let output = WholeFile::begin_of(trace, path)?;
    let written = write(&output.file)?;
    output.finish()?;
    Ok(written)
}

fn write_csv(samples: Samples<'_>, output: impl Write, path: &Path) -> Result<u64, Failure> {
    let failed = |e: csv::Error| Failure::Environment(format!("cannot write {}: {e}", path.display()));
    let mut rows = csv::Writer::from_writer(output);
    rows.write_record(COLUMNS.iter().map(|column| column.name).chain([STRATEGY])).map_err(failed)?;
    let mut count = 0;
    for sample in samples {
        let sample = sample?;
        let numbers = COLUMNS.iter().map(|column| (column.of)(&sample).to_string());
        rows.write_record(numbers.chain([sample.strategy.to_string()])).map_err(failed)?;
        count += 1;
    }
    rows.flush().map_err(|e| failed(e.into()))?;
    Ok(count)
}

fn write_parquet(samples: Samples<'_>, file: &File, path: &Path) -> Result<u64, Failure> {
    let failed = |e: ParquetError| Failure::Environment(format!("cannot write {}: {e}", path.display()));
    let numbers: String =
        COLUMNS.iter().map(|column| format!("required int64 {} (integer(64, false)); ", column.name)).collect();
    let schema = format!("message sample {{ {numbers}required binary {STRATEGY} (string); }}");
    let schema = Arc::new(parse_message_type(&schema).map_err(failed)?);
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(BufWriter::new(file), schema, properties).map_err(failed)?;
    let (mut count, mut group) = (0, Vec::with_capacity(GROUP));
    let mut ended = false;
    while !ended {
        group.clear();
        for sample in samples.take(GROUP) {
            group.push(sample?);
        }
        ended = group.len() < GROUP;
        count += group.len() as u64;
        if !group.is_empty() {
            write_group(&mut writer, &group).map_err(failed)?;
        }
    }
    let mut output = writer.into_inner().map_err(failed)?;
    output.flush().map_err(|e| Failure::io("write", path, &e))?;
    Ok(count)
}

fn write_group(writer: &mut SerializedFileWriter<BufWriter<&File>>, group: &[Sample]) -> Result<(), ParquetError> {
    let mut row_group = writer.next_row_group()?;
    let mut columns = COLUMNS.iter();
    while let Some(mut output) = row_group.next_column()? {
        match columns.next() {
            Some(column) => {
                // Parquet has unsigned numbers as signed ones of the same bits.
                let values: Vec<i64> = group.iter().map(|sample| (column.of)(sample) as i64).collect();
                output.typed::<Int64Type>().write_batch(&values, None, None)?;
            }
            None => {
                let texts: Vec<ByteArray> =
                    group.iter().map(|sample| sample.strategy.to_string().into_bytes().into()).collect();
                output.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
            }
        }
        output.close()?;
    }
    row_group.close()?;
    Ok(())
}
