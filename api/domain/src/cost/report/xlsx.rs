//! The report as a workbook: a summary with charts, a sheet for each department, corrections, control totals.
//!
//! Rows go to disk as they come. Cells hold floats, as spreadsheets do; the exact amounts stand beside the totals as text. Totals are
//! formulas: rounded to 9 decimals first, which takes away what floats add, then to 6. Invariants: sheets have distinct names that
//! spreadsheets take; text is never a formula; the formulas of all sheets come to the exact totals rounded to 6 decimals. Must not know:
//! where charges come from.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;

use plimsoll_entity::value::money::decimal;
use rust_xlsxwriter::utility::row_col_to_cell;
use rust_xlsxwriter::{Chart, ChartType, Format, Formula, Workbook, Worksheet, XlsxError};

use super::charge::{ChargeKey, ChargeTexts, TEXTS, Text};
use super::export::CorrectionTexts;
use crate::cost::figures::CostSums;

/// Departments with a sheet of their own; those that cost less share one.
pub const SHEETS_MAX: usize = 200;
/// Rows of charges on one sheet; what follows stands in one row.
const ROWS_MAX: u32 = 1_000_000;
/// Characters of a sheet's name.
const NAME_CHARS_MAX: usize = 31;
/// Departments that a chart shows.
const CHART_DEPARTMENTS_MAX: u32 = 20;
/// The row of the heads of a sheet; charges stand below.
const HEAD_ROW: u32 = 2;

/// Columns of text on a sheet of charges.
const TEXT_COLUMNS: [&str; TEXTS] = [
    "Service type",
    "Department",
    "Project",
    "User",
    "Application",
    "Model",
    "Model version",
    "Checkpoints",
    "Combination",
    "Machine",
    "Instance type",
    "Region",
    "Provider",
    "Storage type",
    "Storage location",
];
/// Columns of amounts, on every sheet.
const AMOUNTS: [&str; 12] = [
    "Total",
    "Compute",
    "Productive",
    "Inference",
    "Checkpoint load",
    "Model init",
    "GPU cost",
    "CPU cost",
    "Idle",
    "Overhead",
    "Storage",
    "Transfer",
];
/// Places of the amounts that make up a total.
const MAKE_UP: [usize; 5] = [2, 8, 9, 10, 11];

fn amounts(sums: &CostSums) -> [i128; AMOUNTS.len()] {
    [
        sums.total(),
        sums.compute(),
        sums.productive(),
        sums.inference,
        sums.load,
        sums.init,
        sums.gpu,
        sums.cpu(),
        sums.idle,
        sums.overhead,
        sums.storage,
        sums.transfer,
    ]
}

/// What stands on the summary before any charge.
#[derive(Clone, Debug, Default)]
pub struct XlsxFrame {
    /// Such as `2026-10`.
    pub month: String,
    /// `OPEN` or `CLOSED`.
    pub state: &'static str,
    /// The instant of the snapshot.
    pub generated_at: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Ids and names of the departments, in the order of their sheets.
    pub departments: Vec<(u32, String)>,
}

/// A sheet of charges.
struct Sheet {
    name: String,
    /// What the summary calls it.
    title: String,
    place: usize,
    /// Charges that stand on it.
    rows: u32,
    sums: CostSums,
    /// Charges that find no room.
    rest: CostSums,
}

/// A workbook that is being written.
pub struct XlsxFile {
    frame: XlsxFrame,
    workbook: Workbook,
    sheets: Vec<Sheet>,
    /// The sheet of each department; 0: of none.
    of_department: BTreeMap<u32, usize>,
    money: Format,
    bold: Format,
}

impl XlsxFile {
    /// Begins a workbook.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(frame: XlsxFrame) -> Result<Self, XlsxError> {
        let mut workbook = Workbook::new();
        workbook.add_worksheet().set_name("Summary")?;
        let mut names = SheetNames::default();
        let mut file = Self {
            workbook,
            sheets: Vec::new(),
            of_department: BTreeMap::new(),
            money: Format::new().set_num_format("#,##0.00####"),
            bold: Format::new().set_bold(),
            frame,
        };
        for (id, name) in file.frame.departments.clone().into_iter().take(SHEETS_MAX) {
            let sheet = file.add_sheet(names.name(&name), name)?;
            file.of_department.insert(id, sheet);
        }
        let rest: Vec<u32> = file.frame.departments.iter().skip(SHEETS_MAX).map(|(id, _)| *id).collect();
        if !rest.is_empty() {
            let sheet = file.add_sheet("Other departments".to_owned(), "Other departments".to_owned())?;
            file.of_department.extend(rest.into_iter().map(|id| (id, sheet)));
        }
        let sheet = file.add_sheet("Unattributed".to_owned(), "Unattributed".to_owned())?;
        file.of_department.insert(0, sheet);
        Ok(file)
    }

    fn add_sheet(&mut self, name: String, title: String) -> Result<usize, XlsxError> {
        let sheet = self.workbook.add_worksheet_with_constant_memory()?;
        sheet.set_name(&name)?;
        sheet.write_string_with_format(0, 0, format!("{title}, {}, {}", self.frame.month, self.frame.currency), &self.bold)?;
        for (column, head) in (0..).zip(TEXT_COLUMNS.iter().chain(["Executions"].iter()).chain(&AMOUNTS)) {
            sheet.write_string_with_format(HEAD_ROW, column, *head, &self.bold)?;
            sheet.set_column_width(column, if usize::from(column) < TEXT_COLUMNS.len() { 16 } else { 13 })?;
        }
        sheet.set_freeze_panes(HEAD_ROW + 1, 0)?;
        let (sums, rest) = (CostSums::default(), CostSums::default());
        // The summary is the first.
        self.sheets.push(Sheet { name, title, place: self.sheets.len() + 1, rows: 0, sums, rest });
        Ok(self.sheets.len() - 1)
    }

    /// Writes a charge to the sheet of its department.
    ///
    /// # Errors
    /// What the file system says.
    pub fn charge(&mut self, key: &ChargeKey, texts: &ChargeTexts, sums: &CostSums) -> Result<(), XlsxError> {
        // Every department of the month has one; what is unattributed stands last.
        let place = self.of_department.get(&key.department_id).copied().unwrap_or(self.sheets.len() - 1);
        let sheet = &mut self.sheets[place];
        sheet.sums.add(sums);
        if sheet.rows == ROWS_MAX {
            sheet.rest.add(sums);
            return Ok(());
        }
        sheet.rows += 1;
        let row = HEAD_ROW + sheet.rows;
        let worksheet = self.workbook.worksheet_from_index(sheet.place)?;
        write_charge(worksheet, row, texts.columns(), sums, &self.money)
    }

    /// Writes totals, summary and corrections, and the whole to a file; what charges and corrections come to.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(mut self, corrections: &[CorrectionTexts], out: &File) -> Result<(CostSums, i128), XlsxError> {
        let mut total = CostSums::default();
        for place in 0..self.sheets.len() {
            self.end_sheet(place)?;
            total.add(&self.sheets[place].sums);
        }
        let corrected = self.write_corrections(corrections)?;
        self.write_control(&total)?;
        self.write_summary(&total, corrected)?;
        self.workbook.save_to_writer(out)?;
        Ok((total, corrected))
    }

    fn end_sheet(&mut self, place: usize) -> Result<(), XlsxError> {
        let sheet = &mut self.sheets[place];
        let worksheet = self.workbook.worksheet_from_index(sheet.place)?;
        if !sheet.rest.is_empty() {
            sheet.rows += 1;
            let mut columns: [&Text; TEXT_COLUMNS.len()] = [&None; TEXT_COLUMNS.len()];
            let further: Text = Some("further charges: see the CSV".into());
            columns[0] = &further;
            write_charge(worksheet, HEAD_ROW + sheet.rows, columns, &sheet.rest, &self.money)?;
        }
        let row = HEAD_ROW + sheet.rows.max(1) + 1;
        worksheet.write_string_with_format(row, 0, "Total", &self.bold)?;
        for (place, amount) in amounts(&sheet.sums).into_iter().enumerate() {
            let formula = rounded(&column_range("", place, sheet.rows), amount);
            worksheet.write_formula_with_format(row, amount_column(place), formula, &self.money)?;
        }
        worksheet.write_string_with_format(row + 1, 0, "Exact", &self.bold)?;
        for (place, amount) in amounts(&sheet.sums).into_iter().enumerate() {
            worksheet.write_string(row + 1, amount_column(place), decimal(amount))?;
        }
        Ok(())
    }

    fn write_corrections(&mut self, corrections: &[CorrectionTexts]) -> Result<i128, XlsxError> {
        let sheet = self.workbook.add_worksheet();
        sheet.set_name("Corrections")?;
        sheet.write_string_with_format(0, 0, "What closed months turned out to cost differently", &self.bold)?;
        for (column, head) in (0..).zip(["Month", "Department", "Project", "Combination", "Amount", "Exact"]) {
            sheet.write_string_with_format(HEAD_ROW, column, head, &self.bold)?;
            sheet.set_column_width(column, 18)?;
        }
        let (mut row, mut corrected) = (HEAD_ROW, 0);
        for correction in corrections {
            row += 1;
            corrected += correction.amount;
            sheet.write_string(row, 0, &correction.month)?;
            for (column, text) in (1..).zip([&correction.department, &correction.project, &correction.combination]) {
                write_text(sheet, row, column, text)?;
            }
            sheet.write_number_with_format(row, 4, number(correction.amount), &self.money)?;
            sheet.write_string(row, 5, decimal(correction.amount))?;
        }
        // A total that had no row above it would sum itself.
        let row = row.max(HEAD_ROW + 1);
        sheet.write_string_with_format(row + 1, 0, "Total", &self.bold)?;
        let range = format!("E{}:E{}", HEAD_ROW + 2, row + 1);
        sheet.write_formula_with_format(row + 1, 4, rounded(&range, corrected), &self.money)?;
        sheet.write_string(row + 1, 5, decimal(corrected))?;
        Ok(corrected)
    }

    /// The sums of all sheets, before they are rounded: what the summary rounds.
    fn write_control(&mut self, total: &CostSums) -> Result<(), XlsxError> {
        let sheet = self.workbook.add_worksheet();
        sheet.set_name("Control")?;
        sheet.write_string_with_format(0, 0, "Sums of the sheets, before they are rounded", &self.bold)?;
        for (column, head) in (0..).zip(["Sheet"].iter().chain(&AMOUNTS)) {
            sheet.write_string_with_format(HEAD_ROW, column, *head, &self.bold)?;
        }
        for (row, of) in (HEAD_ROW + 1..).zip(&self.sheets) {
            sheet.write_string(row, 0, &of.title)?;
            for (place, amount) in amounts(&of.sums).into_iter().enumerate() {
                let sum = format!("=SUM({})", column_range(&of.name, place, of.rows));
                sheet.write_formula_with_format(row, place as u16 + 1, Formula::new(sum).set_result(decimal(amount)), &self.money)?;
            }
        }
        let row = HEAD_ROW + 1 + self.sheets.len() as u32;
        sheet.write_string_with_format(row, 0, "Exact", &self.bold)?;
        for (place, amount) in amounts(total).into_iter().enumerate() {
            sheet.write_string(row, place as u16 + 1, decimal(amount))?;
        }
        Ok(())
    }

    fn write_summary(&mut self, total: &CostSums, corrected: i128) -> Result<(), XlsxError> {
        let count = self.sheets.len() as u32;
        let frame = &self.frame;
        let sheet = self.workbook.worksheet_from_index(0)?;
        sheet.set_column_width(0, 24)?;
        sheet.set_column_range_width(1, AMOUNTS.len() as u16 + 1, 15)?;
        sheet.write_string_with_format(0, 0, format!("Cost report {}", frame.month), &self.bold)?;
        sheet.write_string(1, 0, format!("{}, as of {}, amounts in {}", frame.state, frame.generated_at, frame.currency))?;
        for (column, head) in (0..).zip(["Department"].iter().chain(&AMOUNTS).chain(["Total, exact"].iter())) {
            sheet.write_string_with_format(HEAD_ROW, column, *head, &self.bold)?;
        }
        let exact_column = AMOUNTS.len() as u16 + 1;
        for (row, of) in (HEAD_ROW + 1..).zip(&self.sheets) {
            sheet.write_string(row, 0, &of.title)?;
            for (place, amount) in amounts(&of.sums).into_iter().enumerate() {
                let range = format!("Control!{}", row_col_to_cell(row, place as u16 + 1));
                sheet.write_formula_with_format(row, place as u16 + 1, rounded(&range, amount), &self.money)?;
            }
            sheet.write_string(row, exact_column, decimal(of.sums.total()))?;
        }
        let row = HEAD_ROW + 1 + count;
        sheet.write_string_with_format(row, 0, "Total", &self.bold)?;
        sheet.write_string_with_format(row + 1, 0, "Exact", &self.bold)?;
        for (place, amount) in amounts(total).into_iter().enumerate() {
            let column = place as u16 + 1;
            let range = format!("Control!{}:{}", row_col_to_cell(HEAD_ROW + 1, column), row_col_to_cell(row - 1, column));
            sheet.write_formula_with_format(row, column, rounded(&range, amount), &self.money)?;
            sheet.write_string(row + 1, column, decimal(amount))?;
        }
        sheet.write_string(row, exact_column, decimal(total.total()))?;
        sheet.write_string(row + 3, 0, "Corrections of closed months, beside the total")?;
        sheet.write_number_with_format(row + 3, 1, number(corrected), &self.money)?;
        sheet.write_string(row + 3, exact_column, decimal(corrected))?;
        write_charts(sheet, count, row, total)
    }
}

/// A stack for each department, and what the total is made of; `total_row` is the row of the totals.
fn write_charts(sheet: &mut Worksheet, departments: u32, total_row: u32, total: &CostSums) -> Result<(), XlsxError> {
    let last = HEAD_ROW + departments.min(CHART_DEPARTMENTS_MAX);
    let mut stacked = Chart::new(ChartType::BarStacked);
    stacked.title().set_name("Cost by department");
    for place in MAKE_UP {
        let column = place as u16 + 1;
        stacked
            .add_series()
            .set_categories(("Summary", HEAD_ROW + 1, 0, last, 0))
            .set_values(("Summary", HEAD_ROW + 1, column, last, column))
            .set_name(("Summary", HEAD_ROW, column));
    }
    sheet.insert_chart(total_row + 6, 0, &stacked)?;
    // The parts of a total stand apart from each other, so they are gathered for the pie.
    let first = total_row + 6;
    let amounts = amounts(total);
    for (row, place) in (first..).zip(MAKE_UP) {
        sheet.write_string(row, 10, AMOUNTS[place])?;
        let cell = row_col_to_cell(total_row, place as u16 + 1);
        let amount = decimal(rounded_nanos(amounts[place]));
        sheet.write_formula(row, 11, Formula::new(format!("={cell}")).set_result(amount))?;
    }
    let end = first + MAKE_UP.len() as u32 - 1;
    let mut pie = Chart::new(ChartType::Pie);
    pie.title().set_name("What the total is made of");
    pie.add_series().set_categories(("Summary", first, 10, end, 10)).set_values(("Summary", first, 11, end, 11));
    sheet.insert_chart(end + 2, 9, &pie)?;
    Ok(())
}

fn write_charge(
    sheet: &mut Worksheet,
    row: u32,
    texts: [&Text; TEXT_COLUMNS.len()],
    sums: &CostSums,
    money: &Format,
) -> Result<(), XlsxError> {
    for (column, text) in (0..).zip(texts) {
        write_text(sheet, row, column, text)?;
    }
    sheet.write_number(row, TEXT_COLUMNS.len() as u16, sums.executions() as f64)?;
    for (place, amount) in amounts(sums).into_iter().enumerate() {
        sheet.write_number_with_format(row, amount_column(place), number(amount), money)?;
    }
    Ok(())
}

fn write_text(sheet: &mut Worksheet, row: u32, column: u16, text: &Text) -> Result<(), XlsxError> {
    match text {
        Some(text) => sheet.write_string(row, column, text.as_ref()).map(|_| ()),
        None => Ok(()),
    }
}

/// The float next to an amount: what a cell can hold.
fn number(nanos: i128) -> f64 {
    decimal(nanos).parse().unwrap_or(f64::NAN)
}

const fn amount_column(place: usize) -> u16 {
    (TEXT_COLUMNS.len() + 1 + place) as u16
}

/// The cells of an amount on a sheet of charges, of `sheet` when it is another one.
fn column_range(sheet: &str, place: usize, rows: u32) -> String {
    let column = amount_column(place);
    let range = format!("{}:{}", row_col_to_cell(HEAD_ROW + 1, column), row_col_to_cell(HEAD_ROW + rows.max(1), column));
    if sheet.is_empty() { range } else { format!("'{}'!{range}", sheet.replace('\'', "''")) }
}

/// The sum of a range, rounded to 6 decimals; `amount` is what it comes to.
fn rounded(range: &str, amount: i128) -> Formula {
    Formula::new(format!("=ROUND(ROUND(SUM({range}),9),6)")).set_result(decimal(rounded_nanos(amount)))
}

/// An amount to 6 decimals, half away from zero, as spreadsheets round.
const fn rounded_nanos(nanos: i128) -> i128 {
    let micros = (nanos.abs() + 500) / 1_000;
    if nanos < 0 { -micros * 1_000 } else { micros * 1_000 }
}

/// Names of sheets that were given away, in lower case.
struct SheetNames(HashSet<String>);

impl Default for SheetNames {
    fn default() -> Self {
        let taken = ["summary", "unattributed", "corrections", "control", "other departments", "history"];
        Self(taken.into_iter().map(str::to_owned).collect())
    }
}

impl SheetNames {
    /// A name that a spreadsheet takes and no other sheet has.
    fn name(&mut self, wanted: &str) -> String {
        // A quotation mark is allowed, but the writer takes it for the beginning of a text where a formula names the sheet.
        let taken = |character: char| if matches!(character, '[' | ']' | ':' | '*' | '?' | '/' | '\\' | '"') { '_' } else { character };
        let clean: String = wanted.chars().filter(|character| !character.is_control()).map(taken).collect();
        let clean = match clean.trim_matches(|character: char| character == '\'' || character.is_whitespace()) {
            "" => "Department",
            clean => clean,
        };
        (1_u32..)
            .map(|number| if number == 1 { String::new() } else { format!(" ({number})") })
            .map(|suffix| format!("{}{suffix}", cut(clean, NAME_CHARS_MAX - suffix.len())))
            .find(|name| self.0.insert(name.to_lowercase()))
            .unwrap_or_default()
    }
}

/// The beginning of a text that has so many UTF-16 units, which spreadsheets count, and no apostrophe at its end.
fn cut(text: &str, units_max: usize) -> &str {
    let mut units = 0;
    let end = text.char_indices().find(|(_, character)| {
        units += character.len_utf16();
        units > units_max
    });
    text[..end.map_or(text.len(), |(at, _)| at)].trim_end_matches('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_have_names_that_spreadsheets_take() {
        let mut names = SheetNames::default();
        let long = "x".repeat(40);
        let wanted = ["R\"D", "r?d", "'a'", "' a '", "", " ' '", "SUMMARY", &long, &long];
        let told: Vec<String> = wanted.into_iter().map(|name| names.name(name)).collect();
        let cut = format!("{} (2)", "x".repeat(27));
        assert_eq!(told, ["R_D", "r_d (2)", "a", "a (2)", "Department", "Department (2)", "SUMMARY (2)", &long[..31], &cut]);
    }

    #[test]
    fn totals_are_rounded_as_spreadsheets_round() {
        assert_eq!([1_499, 1_500, -1_500, 0].map(rounded_nanos), [1_000, 2_000, -2_000, 0]);
        assert_eq!(column_range("O'x", 0, 3), "'O''x'!Q4:Q6");
    }
}
