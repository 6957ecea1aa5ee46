//! Closed enums of the events and the schema: their wire names and the small codes that the database keeps.
//!
//! Invariant: a code never changes its meaning; new variants get new codes. `ALL` is in the order of the contract.

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal => $wire:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum $name { $($(#[$variant_doc])* $variant = $code,)+ }

        impl $name {
            /// Every variant, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in events and in the schema.
            #[must_use]
            pub const fn wire(self) -> &'static str {
                match self { $(Self::$variant => $wire,)+ }
            }

            /// The variant of a wire name.
            #[must_use]
            pub fn from_wire(text: &str) -> Option<Self> {
                match text { $($wire => Some(Self::$variant),)+ _ => None }
            }

            /// The code that the database keeps.
            #[must_use]
            pub const fn code(self) -> i16 {
                self as i16
            }

            /// The variant of a code from the database.
            #[must_use]
            pub const fn from_code(code: i16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

labels! {
    /// How an execution ended.
    Outcome {
        /// It gave its result.
        Succeeded = 0 => "SUCCEEDED",
        /// It ended with an error.
        Failed = 1 => "FAILED",
        /// Somebody stopped it.
        Cancelled = 2 => "CANCELLED",
    }
}

labels! {
    /// What a checkpoint is to its base model.
    CheckpointKind {
        /// Low-rank adapter.
        Lora = 0 => "LORA",
        /// Conditioning network.
        Controlnet = 1 => "CONTROLNET",
        /// Full fine-tune.
        FineTune = 2 => "FINE_TUNE",
        /// Textual inversion.
        Embedding = 3 => "EMBEDDING",
        /// Autoencoder.
        Vae = 4 => "VAE",
        /// Anything else.
        Other = 5 => "OTHER",
    }
}

labels! {
    /// Where bytes came from or lie.
    StorageType {
        /// Memory of a GPU.
        GpuMemory = 0 => "GPU_MEMORY",
        /// Memory of the machine.
        HostMemory = 1 => "HOST_MEMORY",
        /// A disk of the machine.
        LocalDisk = 2 => "LOCAL_DISK",
        /// A shared file system.
        NetworkFilesystem = 3 => "NETWORK_FILESYSTEM",
        /// An object store.
        ObjectStore = 4 => "OBJECT_STORE",
    }
}

labels! {
    /// What a cost is for.
    ServiceType {
        /// Machines.
        Compute = 0 => "COMPUTE",
        /// Bytes that lie.
        Storage = 1 => "STORAGE",
        /// Bytes that move.
        Transfer = 2 => "TRANSFER",
    }
}

labels! {
    /// State of a job.
    JobState {
        /// Waits.
        Queued = 0 => "QUEUED",
        /// Runs.
        Running = 1 => "RUNNING",
        /// Its last attempt succeeded.
        Succeeded = 2 => "SUCCEEDED",
        /// Its last attempt failed.
        Failed = 3 => "FAILED",
        /// It was stopped.
        Cancelled = 4 => "CANCELLED",
    }
}

labels! {
    /// State of a machine; equal instants are ordered as here.
    VmState {
        /// Asked for.
        Requested = 0 => "REQUESTED",
        /// Being made.
        Provisioning = 1 => "PROVISIONING",
        /// Serves.
        Running = 2 => "RUNNING",
        /// Does not answer.
        Unreachable = 3 => "UNREACHABLE",
        /// Taken out on purpose.
        Maintenance = 4 => "MAINTENANCE",
        /// Stopped, not billed.
        Stopped = 5 => "STOPPED",
        /// Being given back.
        Deprovisioning = 6 => "DEPROVISIONING",
        /// Gone; ends a life.
        Terminated = 7 => "TERMINATED",
        /// Broken.
        Failed = 8 => "FAILED",
    }
}

labels! {
    /// How a machine was bought.
    PurchaseOption {
        /// By the hour.
        OnDemand = 0 => "ON_DEMAND",
        /// Interruptible.
        Spot = 1 => "SPOT",
        /// Committed.
        Reserved = 2 => "RESERVED",
    }
}

labels! {
    /// How a load ended.
    LoadOutcome {
        /// The bytes arrived.
        Succeeded = 0 => "SUCCEEDED",
        /// They did not.
        Failed = 1 => "FAILED",
    }
}

labels! {
    /// Who asks.
    Role {
        /// Performance, jobs and checkpoints.
        PipelineTd = 0 => "PIPELINE_TD",
        /// Machines, health and capacity.
        Admin = 1 => "ADMIN",
        /// Cost, chargeback and value.
        FinancialDirector = 2 => "FINANCIAL_DIRECTOR",
        /// Sends events.
        Ingest = 3 => "INGEST",
    }
}

labels! {
    /// How much an alert matters.
    Severity {
        /// Worth knowing.
        Info = 0 => "INFO",
        /// Somebody should look.
        Warning = 1 => "WARNING",
        /// Somebody must act.
        Critical = 2 => "CRITICAL",
    }
}

labels! {
    /// State of an alert.
    AlertState {
        /// Its condition holds, and nobody has taken it.
        Firing = 0 => "FIRING",
        /// Its condition holds, and a person has taken it.
        Acknowledged = 1 => "ACKNOWLEDGED",
        /// Its condition holds no longer.
        Resolved = 2 => "RESOLVED",
    }
}

labels! {
    /// What an alert rule looks at.
    Signal {
        /// CPU in use, of a machine.
        CpuRatio = 0 => "CPU_RATIO",
        /// Memory in use over all memory, of a machine.
        MemoryRatio = 1 => "MEMORY_RATIO",
        /// Disk in use over all disk, of a machine.
        DiskRatio = 2 => "DISK_RATIO",
        /// GPU in use, of a GPU.
        GpuRatio = 3 => "GPU_RATIO",
        /// GPU memory in use over all of it, of a GPU.
        GpuMemoryRatio = 4 => "GPU_MEMORY_RATIO",
        /// Temperature, of a GPU.
        GpuTemperatureCelsius = 5 => "GPU_TEMPERATURE_CELSIUS",
        /// Seconds for which a machine has been down.
        VmUnreachable = 6 => "VM_UNREACHABLE",
        /// Failed over failed and succeeded executions.
        FailureRatio = 7 => "FAILURE_RATIO",
        /// 95th percentile of the duration of executions.
        DurationP95Ms = 8 => "DURATION_P95_MS",
        /// 95th percentile of the queue time of executions.
        QueueP95Ms = 9 => "QUEUE_P95_MS",
        /// Cache hits over loads.
        CacheHitRatio = 10 => "CACHE_HIT_RATIO",
        /// Cost of the current hour.
        CostPerHour = 11 => "COST_PER_HOUR",
    }
}

labels! {
    /// When an alert rule finds something.
    Detection {
        /// Above the threshold.
        Above = 0 => "ABOVE",
        /// Below the threshold.
        Below = 1 => "BELOW",
        /// Outside of what the signal's own past lets expect.
        Anomaly = 2 => "ANOMALY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_go_both_ways() {
        for state in VmState::ALL {
            assert_eq!(VmState::from_wire(state.wire()), Some(*state));
            assert_eq!(VmState::from_code(state.code()), Some(*state));
        }
        assert_eq!(Outcome::from_wire("succeeded"), None);
        assert_eq!(Role::from_code(9), None);
    }
}
