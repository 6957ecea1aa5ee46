//! The report as CSV (RFC 4180): a row for each charge of the month, corrections, and control totals at the end.
//!
//! Invariants: amounts are exact decimals; the row `TOTAL` is the sum of the rows `CHARGE`, and `CORRECTION_TOTAL` of the rows
//! `CORRECTION`. Must not know: where charges come from.

use std::io::Write;

use ::csv::{Terminator, Writer, WriterBuilder};
use plimsoll_entity::value::label::Outcome;
use plimsoll_entity::value::money::decimal;

use super::charge::{ChargeTexts, Text, cell, hours};
use super::export::CorrectionTexts;
use crate::cost::figures::CostSums;

/// The columns.
pub const COLUMNS: [&str; 41] = [
    "record",
    "month",
    "service_type",
    "department",
    "project",
    "user",
    "application",
    "model",
    "model_version",
    "checkpoints",
    "combination",
    "vm",
    "instance_type",
    "region",
    "provider",
    "storage_type",
    "storage_location",
    "currency",
    "total",
    "compute",
    "productive",
    "inference",
    "checkpoint_load",
    "model_init",
    "gpu_cost",
    "cpu_cost",
    "idle",
    "overhead",
    "storage",
    "transfer",
    "cost_of_succeeded",
    "cost_of_failed",
    "cost_of_cancelled",
    "executions",
    "succeeded",
    "failed",
    "cancelled",
    "uncosted_executions",
    "gpu_hours",
    "cpu_hours",
    "unpriced_vm_hours",
];
/// Columns from `total` on.
const FIGURES: usize = COLUMNS.len() - 18;

/// A file that is being written.
pub struct CsvFile<W: Write> {
    writer: Writer<W>,
    month: String,
    currency: String,
    total: CostSums,
    corrections: i128,
}

impl<W: Write> CsvFile<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// What the writer says.
    pub fn new(out: W, month: &str, currency: &str) -> Result<Self, ::csv::Error> {
        let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
        writer.write_record(COLUMNS)?;
        Ok(Self { writer, month: month.to_owned(), currency: currency.to_owned(), total: CostSums::default(), corrections: 0 })
    }

    /// Writes a charge.
    ///
    /// # Errors
    /// What the writer says.
    pub fn charge(&mut self, texts: &ChargeTexts, sums: &CostSums) -> Result<(), ::csv::Error> {
        self.total.add(sums);
        self.row("CHARGE", texts, &figures(sums))
    }

    /// Writes a correction: what a closed month turned out to cost differently.
    ///
    /// # Errors
    /// What the writer says.
    pub fn correction(&mut self, correction: &CorrectionTexts) -> Result<(), ::csv::Error> {
        self.corrections += correction.amount;
        let texts = ChargeTexts {
            department: correction.department.clone(),
            project: correction.project.clone(),
            combination: correction.combination.clone(),
            ..ChargeTexts::default()
        };
        let month = std::mem::replace(&mut self.month, correction.month.clone());
        let written = self.row("CORRECTION", &texts, &only_total(correction.amount));
        self.month = month;
        written
    }

    /// Writes the control totals and gives the writer back.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self) -> Result<(CostSums, i128), ::csv::Error> {
        let (total, corrections) = (self.total, self.corrections);
        self.row("TOTAL", &ChargeTexts::default(), &figures(&total))?;
        self.row("CORRECTION_TOTAL", &ChargeTexts::default(), &only_total(corrections))?;
        self.writer.flush()?;
        Ok((total, corrections))
    }

    fn row(&mut self, record: &str, texts: &ChargeTexts, figures: &[String; FIGURES]) -> Result<(), ::csv::Error> {
        let text = |text: &Text| text.as_deref().map_or_else(String::new, |text| cell(text).into_owned());
        self.writer.write_field(record)?;
        self.writer.write_field(&self.month)?;
        for known in texts.columns() {
            self.writer.write_field(text(known))?;
        }
        self.writer.write_field(&self.currency)?;
        figures.iter().try_for_each(|figure| self.writer.write_field(figure))?;
        self.writer.write_record(None::<&[u8]>)
    }
}

/// Amounts, counts and hours in the order of the columns.
fn figures(sums: &CostSums) -> [String; FIGURES] {
    let amount = |nanos: i128| decimal(nanos);
    let count = |count: u64| count.to_string();
    let of = |outcome: Outcome| count(sums.executions[outcome as usize]);
    [
        amount(sums.total()),
        amount(sums.compute()),
        amount(sums.productive()),
        amount(sums.inference),
        amount(sums.load),
        amount(sums.init),
        amount(sums.gpu),
        amount(sums.cpu()),
        amount(sums.idle),
        amount(sums.overhead),
        amount(sums.storage),
        amount(sums.transfer),
        amount(sums.of_succeeded),
        amount(sums.of_failed),
        amount(sums.of_cancelled),
        count(sums.executions()),
        of(Outcome::Succeeded),
        of(Outcome::Failed),
        of(Outcome::Cancelled),
        count(sums.uncosted()),
        hours(sums.gpu_ps),
        hours(sums.cpu_ps),
        hours(sums.unpriced_ps),
    ]
}

/// An amount of which nothing more is known.
fn only_total(amount: i128) -> [String; FIGURES] {
    let mut figures: [String; FIGURES] = Default::default();
    figures[0] = decimal(amount);
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_quoted_and_add_up_to_the_control_totals() {
        let mut bytes = Vec::new();
        let mut file = CsvFile::new(&mut bytes, "2026-10", "USD").unwrap();
        let texts = ChargeTexts { department: Some("Ads \"A\", b".into()), project: Some("=1+1".into()), ..ChargeTexts::default() };
        file.charge(&texts, &CostSums { inference: 1_500_000_001, gpu: 1, executions: [1, 1, 0], ..CostSums::default() }).unwrap();
        file.charge(&ChargeTexts::default(), &CostSums { storage: 7, ..CostSums::default() }).unwrap();
        let correction = CorrectionTexts { month: "2026-09".to_owned(), department: None, project: None, combination: None, amount: -5 };
        file.correction(&correction).unwrap();
        assert_eq!(file.finish().unwrap().0.total(), 1_500_000_008);
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 6);
        assert!(lines.iter().skip(2).all(|line| line.split(',').count() == COLUMNS.len()), "{text}");
        assert!(lines[1].starts_with("CHARGE,2026-10,,\"Ads \"\"A\"\", b\",'=1+1,"), "{text}");
        assert!(lines[3].starts_with("CORRECTION,2026-09,") && lines[3].contains(",USD,-0.000000005,,"), "{text}");
        assert!(lines[4].starts_with("TOTAL,2026-10,") && lines[4].contains(",USD,1.500000008,1.500000001,"), "{text}");
        assert!(lines[5].starts_with("CORRECTION_TOTAL,2026-10,"), "{text}");
    }
}
