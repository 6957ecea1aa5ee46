//! The report as a FOCUS 1.2 dataset (FinOps Open Cost and Usage Specification) in CSV.
//!
//! One row for each day, charge and kind of charge. Version 1.2 has no columns of split costs, so what a share of a machine is made of
//! stands in `x_` columns, with names as they are: in columns of the standard they are ASCII, as it wants. A share of a bill has no price list of its own: its pricing quantity is one unit, whose price is the cost, so
//! that price x quantity agree to the nano. Invariants: `BilledCost` of the rows whose `ChargeClass` is null adds up to the report, and of
//! the rows of class `Correction` to its corrections. Must not know: where charges come from.

use std::borrow::Cow;
use std::io::Write;

use ::csv::{Terminator, Writer, WriterBuilder};
use plimsoll_entity::value::money::{NANOS, decimal};
use plimsoll_entity::value::time::{HOUR_US, Instant, Window};

use super::charge::{ChargeTexts, Text, cell, hours};
use super::export::CorrectionTexts;
use super::month;
use crate::cost::figures::CostSums;

/// The columns: those of FOCUS 1.2, two of 1.3, and our own.
pub const COLUMNS: [&str; 49] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "HostProviderName",
    "ServiceProviderName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "x_ChargeKind",
    "x_IdleKind",
    "x_Department",
    "x_Project",
    "x_User",
    "x_Application",
    "x_Model",
    "x_ModelVersion",
    "x_Checkpoints",
    "x_Combination",
    "x_Vm",
    "x_InstanceType",
    "x_StorageType",
    "x_StorageLocation",
];

/// Who provides and bills: the platform itself, to departments of the house. The validator wants no billed cost of rows whose provider is
/// another one; who hosts the machines stands in `HostProviderName`.
const ISSUER: &str = "Plimsoll";
/// The one account that a report is about.
const ACCOUNT: &str = "plimsoll";

/// What a row charges for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Usage,
    Idle,
    Overhead,
    Storage,
    Transfer,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Usage, Self::Idle, Self::Overhead, Self::Storage, Self::Transfer];

    const fn amount(self, sums: &CostSums) -> i128 {
        match self {
            Self::Usage => sums.productive(),
            Self::Idle => sums.idle,
            Self::Overhead => sums.overhead,
            Self::Storage => sums.storage,
            Self::Transfer => sums.transfer,
        }
    }

    const fn wire(self) -> &'static str {
        match self {
            Self::Usage => "USAGE",
            Self::Idle => "IDLE",
            Self::Overhead => "OVERHEAD",
            Self::Storage => "STORAGE",
            Self::Transfer => "TRANSFER",
        }
    }

    /// Why a machine that is paid for was not used.
    const fn idle_kind(self) -> &'static str {
        match self {
            Self::Idle => "CAUSED",
            Self::Overhead => "UNCAUSED",
            _ => "",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Usage => "Machine time of executions",
            Self::Idle => "Machine time left idle after an execution",
            Self::Overhead => "Machine time that was held and not used by anybody",
            Self::Storage => "Bytes of models and checkpoints that lay",
            Self::Transfer => "Bytes of models and checkpoints that were moved",
        }
    }

    const fn service(self) -> Service {
        match self {
            Self::Storage => Service("Storage", "Other (Storage)", "Model storage"),
            Self::Transfer => Service("Networking", "Other (Networking)", "Model transfer"),
            _ => Service("Compute", "Virtual Machines", "GPU machines"),
        }
    }
}

/// Category, subcategory and name.
#[derive(Clone, Copy)]
struct Service(&'static str, &'static str, &'static str);

/// What rows have in common.
struct Row<'a> {
    amount: i128,
    is_correction: bool,
    description: String,
    period: (String, String),
    consumed: (String, &'static str),
    service: Service,
    kind: &'static str,
    idle_kind: &'static str,
    texts: &'a ChargeTexts,
}

/// A file that is being written.
pub struct FocusFile<W: Write> {
    writer: Writer<W>,
    currency: String,
    billing: (String, String),
    /// The provisional invoice that a month is.
    invoice: String,
    total: CostSums,
    corrections: i128,
}

impl<W: Write> FocusFile<W> {
    /// Begins a file of a month.
    ///
    /// # Errors
    /// What the writer says.
    pub fn new(out: W, of: Window, currency: &str) -> Result<Self, ::csv::Error> {
        let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
        writer.write_record(COLUMNS)?;
        Ok(Self {
            writer,
            currency: currency.to_owned(),
            billing: period(of),
            invoice: format!("{ACCOUNT}-{}", month::text(of.start.month())),
            total: CostSums::default(),
            corrections: 0,
        })
    }

    /// Writes what a charge comes to on a day, by kind.
    ///
    /// # Errors
    /// What the writer says.
    pub fn charge(&mut self, day: Window, texts: &ChargeTexts, sums: &CostSums) -> Result<(), ::csv::Error> {
        self.total.add(sums);
        for kind in Kind::ALL {
            let amount = kind.amount(sums);
            if amount == 0 {
                continue;
            }
            // Time of GPUs where there are any, of vCPUs where not.
            let consumed = match kind {
                Kind::Usage if sums.gpu_ps != 0 => (hours(sums.gpu_ps), "GPU Hours"),
                Kind::Usage => (hours(sums.cpu_ps), "vCPU Hours"),
                Kind::Storage => (decimal(i128::from((day.end.0 - day.start.0) / HOUR_US) * NANOS), "Hours"),
                _ => ("1.0".to_owned(), "Units"),
            };
            self.row(&Row {
                amount,
                is_correction: false,
                description: kind.description().to_owned(),
                period: period(day),
                consumed,
                service: kind.service(),
                kind: kind.wire(),
                idle_kind: kind.idle_kind(),
                texts,
            })?;
        }
        Ok(())
    }

    /// Writes a correction: what a closed month turned out to cost differently.
    ///
    /// # Errors
    /// What the writer says.
    pub fn correction(&mut self, correction: &CorrectionTexts, of: Window) -> Result<(), ::csv::Error> {
        self.corrections += correction.amount;
        let texts = ChargeTexts {
            department: correction.department.clone(),
            project: correction.project.clone(),
            combination: correction.combination.clone(),
            ..ChargeTexts::default()
        };
        self.row(&Row {
            amount: correction.amount,
            is_correction: true,
            description: format!("What {} turned out to cost differently", correction.month),
            period: period(of),
            consumed: ("1.0".to_owned(), "Units"),
            service: Service("Compute", "Other (Compute)", "GPU machines and model storage"),
            kind: "CORRECTION",
            idle_kind: "",
            texts: &texts,
        })
    }

    /// Ends the file: what its charges and its corrections come to.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self) -> Result<(CostSums, i128), ::csv::Error> {
        self.writer.flush()?;
        Ok((self.total, self.corrections))
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), ::csv::Error> {
        let text = |text: &Text| text.as_deref().map_or_else(String::new, |text| cell(text).into_owned());
        let texts = row.texts;
        let plain = |text: &Text| text.as_deref().map_or_else(String::new, |text| cell(&ascii(text)).into_owned());
        let host = if texts.provider.is_some() { plain(&texts.provider) } else { ISSUER.to_owned() };
        let cost = decimal(row.amount);
        // Unit prices must not be negative, and quantities of corrections may be missing.
        let (price, quantity, unit) = if row.is_correction { ("", "", "") } else { (cost.as_str(), "1.0", "Units") };
        let (region, vm) = (plain(&texts.region), plain(&texts.vm));
        let Service(category, subcategory, service) = row.service;
        let fields: [&str; COLUMNS.len()] = [
            &cost,
            ACCOUNT,
            ISSUER,
            &self.currency,
            &self.billing.0,
            &self.billing.1,
            "Usage",
            if row.is_correction { "Correction" } else { "" },
            &row.description,
            "Usage-Based",
            &row.period.0,
            &row.period.1,
            &row.consumed.0,
            row.consumed.1,
            &cost,
            price,
            &cost,
            &self.invoice,
            ISSUER,
            &cost,
            price,
            "Standard",
            quantity,
            unit,
            ISSUER,
            ISSUER,
            &host,
            ISSUER,
            &region,
            &region,
            &vm,
            if vm.is_empty() { "" } else { "Virtual Machine" },
            category,
            service,
            subcategory,
            row.kind,
            row.idle_kind,
            &text(&texts.department),
            &text(&texts.project),
            &text(&texts.user),
            &text(&texts.application),
            &text(&texts.model),
            &text(&texts.model_version),
            &text(&texts.checkpoints),
            &text(&texts.combination),
            &text(&texts.vm),
            &text(&texts.instance_type),
            &text(&texts.storage_type),
            &text(&texts.storage_location),
        ];
        self.writer.write_record(fields)
    }
}

/// A text in ASCII: what is none, and `%`, stands as the bytes of its UTF-8, so that different texts stay different.
fn ascii(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && byte != b'%') {
        return text.into();
    }
    let byte = |byte: u8| if byte.is_ascii() && byte != b'%' { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect::<String>().into()
}

/// Start and end as FOCUS writes instants.
fn period(window: Window) -> (String, String) {
    let text = |at: Instant| at.to_rfc3339();
    (text(window.start), text(window.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_in_ascii() {
        assert_eq!([ascii("m-1"), ascii("mü%1")], ["m-1", "m%C3%BC%251"]);
    }

    #[test]
    fn each_kind_of_charge_has_a_row_and_price_times_quantity_agree() {
        let mut bytes = Vec::new();
        let day = Window { start: Instant::parse("2026-10-01T00:00:00Z").unwrap(), end: Instant::parse("2026-10-02T00:00:00Z").unwrap() };
        let mut file = FocusFile::new(&mut bytes, month::window(2026 * 12 + 9), "USD").unwrap();
        let texts = ChargeTexts { combination: Some("=sdxl".into()), vm: Some("@m".into()), ..ChargeTexts::default() };
        let sums = CostSums { inference: 7, idle: 5, overhead: 3, storage: 2, transfer: 1, ..CostSums::default() };
        file.charge(day, &texts, &sums).unwrap();
        let correction = CorrectionTexts { month: "2026-09".to_owned(), department: None, project: None, combination: None, amount: -4 };
        file.correction(&correction, month::window(2026 * 12 + 8)).unwrap();
        assert_eq!(file.finish().unwrap(), (sums, -4));
        let rows: Vec<::csv::StringRecord> = ::csv::Reader::from_reader(&bytes[..]).into_records().map(Result::unwrap).collect();
        let of = |row: &::csv::StringRecord, name: &str| row[COLUMNS.iter().position(|column| *column == name).unwrap()].to_owned();
        let costs: Vec<String> = rows.iter().map(|row| of(row, "BilledCost")).collect();
        assert_eq!(costs, ["0.000000007", "0.000000005", "0.000000003", "0.000000002", "0.000000001", "-0.000000004"]);
        for row in &rows[..5] {
            assert_eq!((of(row, "ListUnitPrice"), of(row, "PricingQuantity")), (of(row, "ListCost"), "1.0".to_owned()));
            assert_eq!((of(row, "x_Combination"), of(row, "ResourceId")), ("'=sdxl".to_owned(), "'@m".to_owned()));
        }
        assert_eq!(of(&rows[1], "x_IdleKind"), "CAUSED");
        assert_eq!((of(&rows[5], "ChargeClass"), of(&rows[5], "ListUnitPrice")), ("Correction".to_owned(), String::new()));
        assert_eq!(of(&rows[5], "ChargePeriodStart"), "2026-09-01T00:00:00Z");
    }
}
