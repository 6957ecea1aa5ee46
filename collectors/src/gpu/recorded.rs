//! GPUs that were recorded on some machine and are replayed here, over and over: for demonstrations, and for tests of what
//! comes after.
//!
//! A recording is what `nvidia-smi --query-gpu=timestamp,index,uuid,name,utilization.gpu,memory.used,memory.total,`
//! `temperature.gpu,power.draw --format=csv -l 10` prints; columns may be in any order, others are passed over, and
//! `nounits` may be given. One frame is what was printed for all GPUs at once: it ends where an index comes again.
//!
//! Invariant: a recording is read wholly before the first frame, and refused where a line is not understood.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use super::{GPUS_MAX, GpuDriver, GpuError, GpuFigures};

const MIB_BYTES: u64 = 1 << 20;

/// Why a recording is refused.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("could not read the recording")]
    Read(#[source] io::Error),
    /// There is no header with an `index`.
    #[error("the recording has no header with the column index")]
    NoIndex,
    /// There is no line after the header.
    #[error("the recording has no lines")]
    Empty,
    /// A value is not what its column says.
    #[error("line {line} of the recording has no valid {column}: {value:?}")]
    Value {
        /// Line, from 1.
        line: usize,
        /// Name of the column.
        column: String,
        /// What stands there.
        value: String,
    },
}

/// Replays a recording: one frame a tick.
#[derive(Debug)]
pub struct RecordedGpus {
    frames: Vec<BTreeMap<u16, GpuFigures>>,
    gpu_count: u16,
    next_frame: usize,
    frame: usize,
}

impl RecordedGpus {
    /// Reads a recording from a file.
    ///
    /// # Errors
    /// When it cannot be read or is not understood.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Self::parse(&fs::read_to_string(path).map_err(RecordingError::Read)?)
    }

    /// Reads a recording.
    ///
    /// # Errors
    /// When it is not understood.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let columns: Vec<&str> = lines.next().map(|(_, header)| header.split(',').map(column_name).collect()).unwrap_or_default();
        if !columns.contains(&"index") {
            return Err(RecordingError::NoIndex);
        }
        let mut frames: Vec<BTreeMap<u16, GpuFigures>> = Vec::new();
        for (number, line) in lines {
            let (index, figures) = parse_line(&columns, line, number + 1)?;
            match frames.last_mut() {
                Some(frame) if !frame.contains_key(&index) => {
                    frame.insert(index, figures);
                }
                _ => frames.push(BTreeMap::from([(index, figures)])),
            }
        }
        let last_index = frames.iter().filter_map(|frame| frame.keys().next_back()).max().ok_or(RecordingError::Empty)?;
        Ok(Self { gpu_count: last_index + 1, frames, next_frame: 0, frame: 0 })
    }
}

impl GpuDriver for RecordedGpus {
    /// Goes on to the next frame, since the collector counts once a tick.
    fn gpu_count(&mut self) -> Result<u16, GpuError> {
        self.frame = self.next_frame;
        self.next_frame = (self.next_frame + 1) % self.frames.len();
        Ok(self.gpu_count)
    }

    fn gpu_read(&mut self, index: u16) -> Result<GpuFigures, GpuError> {
        self.frames[self.frame].get(&index).cloned().ok_or(GpuError::Lost)
    }
}

/// `memory.used [MiB]` names the column `memory.used`.
fn column_name(header: &str) -> &str {
    header.split('[').next().unwrap_or(header).trim()
}

fn parse_line(columns: &[&str], line: &str, number: usize) -> Result<(u16, GpuFigures), RecordingError> {
    let mut index = None;
    let mut figures = GpuFigures::default();
    let cells = line.split(',').map(str::trim);
    for (column, cell) in columns.iter().zip(cells).filter(|(_, cell)| !is_unsupported(cell)) {
        let refuse = || RecordingError::Value { line: number, column: (*column).to_owned(), value: cell.to_owned() };
        let quantity = || cell.split_whitespace().next().and_then(|number| number.parse::<f64>().ok()).ok_or_else(refuse);
        let mib = || cell.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).ok_or_else(refuse);
        match *column {
            "index" => index = Some(cell.parse().ok().filter(|index| *index < GPUS_MAX).ok_or_else(refuse)?),
            "uuid" | "gpu_uuid" => figures.uuid = Some(cell.to_owned()),
            "name" | "gpu_name" => figures.name = Some(cell.to_owned()),
            "utilization.gpu" => figures.utilization_ratio = Some(quantity()? / 100.0),
            "memory.used" => figures.memory_used_bytes = Some(mib()?.saturating_mul(MIB_BYTES)),
            "memory.total" => figures.memory_total_bytes = Some(mib()?.saturating_mul(MIB_BYTES)),
            "temperature.gpu" => figures.temperature_celsius = Some(quantity()?),
            "power.draw" => figures.power_watts = Some(quantity()?),
            _ => {}
        }
    }
    let no_index = || RecordingError::Value { line: number, column: "index".to_owned(), value: String::new() };
    Ok((index.ok_or_else(no_index)?, figures))
}

/// `[N/A]`, `[Not Supported]` and such.
fn is_unsupported(cell: &str) -> bool {
    cell.is_empty() || cell.starts_with('[') || cell == "N/A"
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDING: &str = include_str!("../../tests/fixtures/gpus.csv");

    #[test]
    fn replays_frame_by_frame_and_starts_again() {
        let mut gpus = RecordedGpus::parse(RECORDING).unwrap();
        let mut busy = Vec::new();
        for _ in 0..4 {
            assert_eq!(gpus.gpu_count().unwrap(), 2);
            busy.push((0..2).map(|index| gpus.gpu_read(index).ok().and_then(|gpu| gpu.utilization_ratio)).collect::<Vec<_>>());
        }
        let first = vec![Some(0.0), Some(0.97)];
        assert_eq!(busy, [first.clone(), vec![Some(0.41), None], vec![Some(0.88), None], first]);
    }

    #[test]
    fn reads_units_and_leaves_out_what_is_not_supported() {
        let mut gpus = RecordedGpus::parse(RECORDING).unwrap();
        gpus.gpu_count().unwrap();
        let first = gpus.gpu_read(0).unwrap();
        assert_eq!(first.name.as_deref(), Some("NVIDIA H100 80GB HBM3"));
        assert_eq!((first.memory_used_bytes, first.memory_total_bytes), (Some(4 * MIB_BYTES), Some(81_559 * MIB_BYTES)));
        assert_eq!((first.temperature_celsius, first.power_watts), (Some(31.0), Some(69.87)));
        gpus.gpu_count().unwrap();
        assert_eq!(gpus.gpu_read(1).unwrap().power_watts, None);
        gpus.gpu_count().unwrap();
        assert!(matches!(gpus.gpu_read(1), Err(GpuError::Lost)));
    }

    #[test]
    fn refuses_what_is_no_recording() {
        assert!(matches!(RecordedGpus::parse(""), Err(RecordingError::NoIndex)));
        assert!(matches!(RecordedGpus::parse("index, name\n"), Err(RecordingError::Empty)));
        let error = RecordedGpus::parse("index, power.draw [W]\n0, much\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2 of the recording has no valid power.draw: \"much\"");
        assert!(matches!(RecordedGpus::parse("index, name\n999, x\n"), Err(RecordingError::Value { .. })));
        assert!(matches!(RecordedGpus::parse("name, index\nx\n"), Err(RecordingError::Value { .. })));
    }
}
