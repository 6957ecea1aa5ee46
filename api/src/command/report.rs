//! `plimsoll report`: the report of a month as a file, for a cron job. Reads the database itself, beside a server that runs on it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use plimsoll_domain::breakdown::BreakdownError;
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::clock::SystemClock;
use plimsoll_domain::cost::report::export::{ExportError, ExportFormat, export};
use plimsoll_domain::cost::report::{ReportQuestion, month};
use plimsoll_domain::store::{Store, StoreError};

use crate::config::Config;
use crate::telemetry::chain;
use crate::{OtherCurrency, other_currency};

/// The exit status of a question that cannot be asked, as for a wrong option.
const WRONG_QUESTION: u8 = 2;
/// The exit status of what may succeed later, as in `sysexits.h`.
const TRY_AGAIN: u8 = 75;

/// Flags of `plimsoll report`.
#[derive(clap::Args, Clone, Debug)]
pub struct ReportArgs {
    /// The month, such as 2026-10, in UTC
    #[arg(long, value_parser = parse_month)]
    pub month: i32,
    /// What kind of file
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    pub format: Format,
    /// Where to write it; standard output if left out
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Only this department; may be given several times
    #[arg(long = "department")]
    pub departments: Vec<String>,
    /// Only this project; may be given several times
    #[arg(long = "project")]
    pub projects: Vec<String>,
}

/// A kind of file.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum Format {
    /// Every charge in one table
    Csv,
    /// A workbook
    Xlsx,
    /// FOCUS 1.2
    Focus,
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::Xlsx => Self::Xlsx,
            Format::Focus => Self::FocusCsv,
        }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("the database cannot be used (database.url, PLIMSOLL_DATABASE_URL)")]
    Store(#[source] StoreError),
    #[error(transparent)]
    Currency(OtherCurrency),
    #[error("a workbook cannot be shown on a terminal: name a file with --output")]
    Terminal,
    #[error("cannot write {0}")]
    Output(String, #[source] io::Error),
    #[error("there is no report")]
    Export(#[source] ExportError),
}

impl ReportError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Terminal | Self::Export(ExportError::Report(BreakdownError::Question { .. })) => WRONG_QUESTION,
            Self::Export(ExportError::Report(BreakdownError::Limit(_))) => TRY_AGAIN,
            _ => 1,
        }
    }
}

fn parse_month(text: &str) -> Result<i32, String> {
    month::parse(text).ok_or_else(|| month::EXPECTED.to_owned())
}

/// Writes the report: 0 when it is there, 2 for a wrong question, 75 for what may succeed later, else 1.
pub async fn run(config: &Config, args: &ReportArgs) -> ExitCode {
    match write(config, args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plimsoll: {}", chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn write(config: &Config, args: &ReportArgs) -> Result<(), ReportError> {
    if args.output.is_none() && matches!(args.format, Format::Xlsx) && io::stdout().is_terminal() {
        return Err(ReportError::Terminal);
    }
    let store = Store::open_beside(config.database.url.reveal(), Arc::new(SystemClock)).await.map_err(ReportError::Store)?;
    store.check_tables().await.map_err(ReportError::Store)?;
    if let Some(other) = other_currency(&store, config).await.map_err(ReportError::Store)? {
        return Err(ReportError::Currency(other));
    }
    let list = |names: &Vec<String>| (!names.is_empty()).then(|| names.clone());
    let asked = ReportQuestion::new(&month::text(args.month), list(&args.departments), list(&args.projects))
        .map_err(|error| ReportError::Export(error.into()))?;
    let reader = Reader::new(store.clone());
    let currency = config.cost.currency.as_str();
    let written = match &args.output {
        Some(path) => {
            // Beside the file that is wanted, which is replaced whole or not at all.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let failed = |source| ReportError::Output(path.display().to_string(), source);
            let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
            export(&reader, &asked, currency, args.format.into(), file.as_file()).await.map_err(ReportError::Export)?;
            file.as_file().sync_all().map_err(failed)?;
            file.persist(path).map(|_| ()).map_err(|error| failed(error.error))
        }
        None => {
            let failed = |source| ReportError::Output("standard output".to_owned(), source);
            let mut file: File = tempfile::tempfile().map_err(failed)?;
            export(&reader, &asked, currency, args.format.into(), &file).await.map_err(ReportError::Export)?;
            file.rewind().map_err(failed)?;
            io::copy(&mut file, &mut io::stdout().lock()).map(|_| ()).map_err(failed)
        }
    };
    store.close().await;
    written
}
