//! The report as files.
//!
//! A file is written whole before anybody gets it, to a place on disk: so no slow reader holds a snapshot, what goes wrong is told before
//! the first byte, and memory stays bounded (`sort`). Invariant: the control totals of a file are those of the report of the same
//! reading, to the nano, or there is no file. Must not know: HTTP, who may read it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use url::form_urlencoded::Serializer;

use super::charge::{ChargeKey, Text, texts};
use super::csv::CsvFile;
use super::focus::FocusFile;
use super::ledger::Ledger;
use super::sort::Sorter;
use super::xlsx::{XlsxFile, XlsxFrame};
use super::{CostReport, ReportQuestion, State, month};
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::{Reader, Reading};
use crate::cost::correction::Correction;
use crate::cost::figures::CostSums;
use crate::store::StoreError;

/// Charges whose names are looked up together.
const CHARGES_PER_STEP: usize = 1_000;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Everything in one table.
    Csv,
    /// A workbook.
    Xlsx,
    /// FOCUS 1.2.
    FocusCsv,
}

impl ExportFormat {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Xlsx, Self::FocusCsv];

    /// The name of the file.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Csv => "report.csv",
            Self::Xlsx => "report.xlsx",
            Self::FocusCsv => "focus.csv",
        }
    }

    /// The kind of the file of a name.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.file_name() == name)
    }

    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv | Self::FocusCsv => "text/csv; charset=utf-8",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// The path of the file of a report.
    #[must_use]
    pub fn path(self, asked: &ReportQuestion) -> String {
        let path = format!("/exports/{}/{}", month::text(asked.month), self.file_name());
        let mut query = Serializer::new(String::new());
        for (name, list) in [("department", &asked.departments), ("project", &asked.projects)] {
            match list.as_deref() {
                // A list of nothing matches nothing, as an empty name does, which nobody bears.
                Some([]) => _ = query.append_pair(name, ""),
                Some(list) => list.iter().for_each(|value| _ = query.append_pair(name, value)),
                None => {}
            }
        }
        let query = query.finish();
        if query.is_empty() { path } else { format!("{path}?{query}") }
    }
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The report cannot be read.
    #[error("cannot read the report")]
    Report(#[from] BreakdownError),
    /// The file cannot be written.
    #[error("cannot write the export")]
    File(#[from] io::Error),
    /// The rows cannot be written.
    #[error("cannot write the rows of the export")]
    Rows(#[from] ::csv::Error),
    /// The workbook cannot be written.
    #[error("cannot write the workbook")]
    Workbook(#[from] rust_xlsxwriter::XlsxError),
    /// The file does not say what the report says.
    #[error("the control totals of the export are not those of the report")]
    Totals,
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Report(error.into())
    }
}

/// A correction by names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrectionTexts {
    /// The closed month, such as `2026-09`.
    pub month: String,
    /// Department.
    pub department: Text,
    /// Project.
    pub project: Text,
    /// Label of the combination.
    pub combination: Text,
    /// Nano-units.
    pub amount: i128,
}

/// Writes the file of a report to an empty file; amounts are in `currency`.
///
/// # Errors
/// [`ExportError`]; then what the file holds is of no use.
pub async fn export(
    reader: &Reader,
    asked: &ReportQuestion,
    currency: &str,
    format: ExportFormat,
    mut out: &File,
) -> Result<(), ExportError> {
    let reading = reader.begin().await?;
    let report = reader.cost_report_summary(&reading, asked).await?;
    let filter = asked.filter(&reading).await?;
    let prices = reader.prices.prices(&reading.snapshot).await?;
    let ledger = Ledger::open(&reading, &prices, month::window(asked.month), &filter).await?;
    let corrections = correction_texts(&reading, &report.corrections).await?;
    let work = Export { reading: &reading, ledger: &ledger, report: &report, corrections: &corrections };
    let (total, corrected) = match format {
        ExportFormat::Csv => work.write_csv(CsvFile::new(BufWriter::new(out), &month::text(asked.month), currency)?).await?,
        ExportFormat::FocusCsv => work.write_focus(FocusFile::new(BufWriter::new(out), month::window(asked.month), currency)?).await?,
        ExportFormat::Xlsx => work.write_xlsx(currency, out).await?,
    };
    out.flush()?;
    if total != report.total || corrected != report.corrections.iter().map(|one| one.amount).sum::<i128>() {
        return Err(ExportError::Totals);
    }
    Ok(())
}

/// What a file is written from.
struct Export<'a> {
    reading: &'a Reading,
    ledger: &'a Ledger<'a>,
    report: &'a CostReport,
    corrections: &'a [CorrectionTexts],
}

impl Export<'_> {
    async fn write_csv(&self, mut file: CsvFile<BufWriter<&File>>) -> Result<(CostSums, i128), ExportError> {
        let mut sorted = self.sorted().await?;
        while let Some(step) = next_step(&mut sorted)? {
            for ((_, sums), texts) in step.iter().zip(self.texts(&step).await?) {
                file.charge(&texts, sums)?;
            }
        }
        self.corrections.iter().try_for_each(|correction| file.correction(correction))?;
        Ok(file.finish()?)
    }

    async fn write_focus(&self, mut file: FocusFile<BufWriter<&File>>) -> Result<(CostSums, i128), ExportError> {
        for (place, day) in self.ledger.days.iter().enumerate() {
            let charges = Vec::from_iter(self.ledger.day(place).await?);
            for step in charges.chunks(CHARGES_PER_STEP) {
                for ((_, sums), texts) in step.iter().zip(self.texts(step).await?) {
                    file.charge(*day, &texts, sums)?;
                }
            }
        }
        for (correction, of) in self.corrections.iter().zip(&self.report.corrections) {
            file.correction(correction, month::window(of.key.month))?;
        }
        Ok(file.finish()?)
    }

    async fn write_xlsx(&self, currency: &str, out: &File) -> Result<(CostSums, i128), ExportError> {
        let ids: Vec<u32> = self.report.departments.iter().map(|department| department.department_id).collect();
        let names = self.reading.sources().catalog.names(&self.reading.snapshot, &ids).await?;
        let name = |id: &u32| (*id, names.get(id).map_or_else(String::new, |name| name.to_string()));
        let frame = XlsxFrame {
            month: month::text(self.report.asked.month),
            state: if self.report.state == State::Open { "OPEN" } else { "CLOSED" },
            generated_at: self.report.as_of.to_rfc3339(),
            currency: currency.to_owned(),
            departments: ids.iter().map(name).collect(),
        };
        let mut file = XlsxFile::new(frame)?;
        let mut sorted = self.sorted().await?;
        while let Some(step) = next_step(&mut sorted)? {
            for ((key, sums), texts) in step.iter().zip(self.texts(&step).await?) {
                file.charge(key, &texts, sums)?;
            }
        }
        Ok(file.finish(self.corrections, out)?)
    }

    /// The charges of the month, each once, in order.
    async fn sorted(&self) -> Result<super::sort::Merged, ExportError> {
        let mut sorter = Sorter::default();
        for place in 0..self.ledger.days.len() {
            for (key, sums) in self.ledger.day(place).await? {
                sorter.add(key, &sums)?;
            }
        }
        Ok(sorter.finish()?)
    }

    async fn texts(&self, charges: &[(ChargeKey, CostSums)]) -> Result<Vec<super::charge::ChargeTexts>, StoreError> {
        let keys: Vec<ChargeKey> = charges.iter().map(|(key, _)| *key).collect();
        texts(self.reading, &keys).await
    }
}

/// The next charges that are written together; none: there are no more.
fn next_step(sorted: &mut super::sort::Merged) -> io::Result<Option<Vec<(ChargeKey, CostSums)>>> {
    let step: Vec<(ChargeKey, CostSums)> = sorted.take(CHARGES_PER_STEP).collect::<Result<_, _>>()?;
    Ok((!step.is_empty()).then_some(step))
}

async fn correction_texts(reading: &Reading, corrections: &[Correction]) -> Result<Vec<CorrectionTexts>, StoreError> {
    let keys: Vec<ChargeKey> = corrections
        .iter()
        .map(|one| ChargeKey {
            department_id: one.key.department_id,
            project_id: one.key.project_id,
            combination_id: one.key.combination_id,
            ..ChargeKey::default()
        })
        .collect();
    let mut by_key: HashMap<ChargeKey, super::charge::ChargeTexts> = HashMap::new();
    for step in keys.chunks(CHARGES_PER_STEP) {
        by_key.extend(step.iter().copied().zip(texts(reading, step).await?));
    }
    let text = |(one, key): (&Correction, &ChargeKey)| {
        let texts = by_key.get(key).cloned().unwrap_or_default();
        CorrectionTexts {
            month: month::text(one.key.month),
            department: texts.department,
            project: texts.project,
            combination: texts.combination,
            amount: one.amount,
        }
    };
    Ok(corrections.iter().zip(&keys).map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_carry_the_filter() {
        let mut asked = ReportQuestion::new("2026-10", None, None).unwrap();
        assert_eq!(ExportFormat::Xlsx.path(&asked), "/exports/2026-10/report.xlsx");
        asked.departments = Some(vec!["R&D".to_owned(), "a b".to_owned()]);
        asked.projects = Some(Vec::new());
        assert_eq!(ExportFormat::FocusCsv.path(&asked), "/exports/2026-10/focus.csv?department=R%26D&department=a+b&project=");
        assert_eq!(ExportFormat::ALL.map(|format| ExportFormat::of_file_name(format.file_name())), ExportFormat::ALL.map(Some));
    }
}
