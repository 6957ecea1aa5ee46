//! The binary `plimsoll`: reads the command line and the settings, and does what they say.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futures_util::FutureExt as _;
use plimsoll::command::ingest::IngestArgs;
use plimsoll::command::report::ReportArgs;
use plimsoll::command::token::TokenArgs;
use plimsoll::config::{Config, Loaded};
use plimsoll::telemetry::{self, chain};
use plimsoll::{ServeError, command, listen, open_store, serve_store};
use tokio_util::sync::CancellationToken;

/// What runs on your GPUs, how well, on what, and what it costs: by base model and applied checkpoints.
///
/// Settings come from PLIMSOLL_* variables and the file that PLIMSOLL_CONFIG names; `plimsoll config` prints them.
#[derive(Parser)]
#[command(name = "plimsoll", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Serve,
    /// Bring the database's tables up to date, and end
    Migrate,
    /// Print the GraphQL schema
    Schema,
    /// Mint a token
    Token(TokenArgs),
    /// Send files of events to a server
    Ingest(IngestArgs),
    /// Write the report of a month as a file
    Report(ReportArgs),
    /// Write a made-up month, and serve it
    Demo,
    /// Print the settings that are in force, secrets hidden
    Config,
}

fn main() -> ExitCode {
    // Whoever uses TLS uses this; it can be installed once only, and a second time changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let command = Cli::parse().command.unwrap_or(Command::Serve);
    if let Command::Schema = command {
        print!("{}", plimsoll::graphql::sdl());
        return ExitCode::SUCCESS;
    }
    if let Command::Ingest(args) = &command {
        return runtime(command::ingest::run(args));
    }
    let loaded = match Config::from_system() {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error),
    };
    if matches!(command, Command::Config | Command::Token(_) | Command::Report(_)) {
        loaded.warnings.iter().for_each(|warning| eprintln!("plimsoll: {warning}"));
    }
    match command {
        Command::Config => print!("{}", loaded.config.to_toml()),
        Command::Token(args) => return command::token::run(&loaded.config, &args),
        Command::Report(args) => return runtime(command::report::run(&loaded.config, &args)),
        Command::Migrate => return runtime(migrate(loaded)),
        command => return runtime(serve(loaded, matches!(command, Command::Demo))),
    }
    ExitCode::SUCCESS
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("plimsoll: {}", chain(error));
    ExitCode::FAILURE
}

fn runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => fail(&error),
    }
}

async fn migrate(loaded: Loaded) -> ExitCode {
    if let Err(error) = telemetry::start(&loaded.config.log) {
        return fail(&error);
    }
    match open_store(&loaded.config).await {
        Ok(store) => {
            store.close().await;
            println!("the database is up to date");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

async fn serve(loaded: Loaded, demo: bool) -> ExitCode {
    let Loaded { config, warnings } = loaded;
    if let Err(error) = telemetry::start(&config.log) {
        return fail(&error);
    }
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    match serve_until_signal(config, demo).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn serve_until_signal(config: Config, demo: bool) -> Result<(), ServeError> {
    // The port first: a second server is told so before it meets the lock of the database.
    let listener = listen(&config).await?;
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    tokio::spawn(async move {
        signal().await;
        signalled.cancel();
    });
    // An upgrade may have days of cells to make; what is made stays made.
    let Some(store) = stop.run_until_cancelled(open_store(&config)).await else { return Ok(()) };
    let store = store?;
    let (priced, currency) = (store.clone(), config.cost.currency.as_str().to_owned());
    let feed = move |ingest| if demo { command::demo::feed(ingest, priced, currency).boxed() } else { async {}.boxed() };
    serve_store(config, store, listener, stop, feed).await
}

/// Waits for SIGTERM or Ctrl-C.
async fn signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! { _ = interrupt => {}, () = terminate => {} }
    tracing::info!("stopping");
}
