//! The collectors against a server that answers as servers do, `plimsoll-agent` as its own process, and the Python reporter's tests.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod exporter;
#[cfg(test)]
mod fake_nvml;
#[cfg(test)]
mod nvml;
#[cfg(test)]
mod nvml_faults;
#[cfg(test)]
mod reporter;
#[cfg(test)]
mod scrape;
#[cfg(test)]
mod server;
