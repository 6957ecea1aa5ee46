//! Machines as they were sampled last, while samples come in.

use std::sync::Arc;

use async_graphql::{Context, Result, Subscription};
use futures_util::stream::{Stream, StreamExt as _};
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::live::trailing::{Answered, Trailing};
use plimsoll_domain::utilization::{OfGpus, Utilization, utilization_list};
use plimsoll_entity::value::time::Instant;

use super::interval_us;
use super::live::Live;
use super::watching::{Looked, Watched, digest, watch};
use crate::graphql::error::{of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::types::filter::MachineFilter;
use crate::graphql::types::utilization::{VmUtilization, gpus_asked};

/// Subscriptions about machines.
#[derive(Default)]
pub struct MachineSubscription;

#[Subscription]
impl MachineSubscription {
    /// Machines as they were sampled last, by name: at once, then when a commit changes any of them, at most every intervalMs. Machines that match and have ever sent a sample, whatever their state: `filter: { states: [RUNNING] }` leaves out those that are gone.
    #[graphql(directive = guard::requires::apply(guard::required("Subscription.vmUtilization")))]
    async fn vm_utilization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which machines, as they are now; null: all.")] filter: Option<MachineFilter>,
        #[graphql(default = 1_000, desc = "Least time between two payloads, in milliseconds: 250 to 60,000.")] interval_ms: i32,
        #[graphql(
            default = 200,
            desc = "Machines at most, 0 to 10,000; of more those stay that are not TERMINATED, and of these the ones that were sampled last."
        )]
        limit: i32,
    ) -> Result<impl Stream<Item = Result<Vec<VmUtilization>>> + use<>> {
        guard::demand(ctx, "Subscription.vmUtilization")?;
        let question = Question {
            filter: filter.unwrap_or_default(),
            interval_us: interval_us(interval_ms)?,
            limit: rows_limit(limit)?,
            of_gpus: gpus_asked(ctx.look_ahead()),
        };
        let (reader, live) = (ctx.data::<Reader>()?.clone(), ctx.data::<Live>()?.clone());
        let machines = |list: Vec<Utilization>| list.into_iter().map(|machine| VmUtilization(Arc::new(machine))).collect();
        Ok(watch(reader, live, question).map(move |list| list.map(machines)))
    }
}

/// What is asked again and again.
#[derive(Clone)]
struct Question {
    filter: MachineFilter,
    interval_us: i64,
    limit: usize,
    of_gpus: OfGpus,
}

impl Watched for Question {
    type Figures = Vec<Utilization>;
    const FIELD: &'static str = "vmUtilization";

    fn trailing(&self) -> Trailing {
        // The newest sample stays the newest however much time passes.
        Trailing { length_us: 0, interval_us: self.interval_us }
    }

    async fn look(self, _: &Reader, reading: &Reading, heard: u64) -> Result<Looked<Self::Figures>> {
        // Anew each time: a name that nobody had may have come.
        let (filter, states) = self.filter.resolve(reading).await?;
        let list = utilization_list(reading, &filter, states.as_deref(), self.limit, self.of_gpus).await.map_err(of_breakdown)?;
        // What a machine is, besides: its state may change without a sample.
        let machines: Vec<_> = list.iter().map(|machine| facts(reading, machine.vm_id)).collect();
        let commit_number = reading.snapshot.commit_number().await.map_err(of_store)?;
        // A job that tells no end lets its GPUs go without a commit.
        let changes_at = list.iter().filter_map(|machine| machine.believed_until).min();
        let answered = Answered { as_of: reading.snapshot.as_of, commit_number, heard, changes_at };
        // When a look may find something else is no news.
        let told: Vec<Utilization> = list.iter().map(|machine| Utilization { believed_until: None, ..machine.clone() }).collect();
        Ok(Looked { answered, digest: digest(format_args!("{told:?}{machines:?}")), figures: list })
    }
}

/// What is known of a machine now.
fn facts(reading: &Reading, vm: u32) -> impl std::fmt::Debug + use<> {
    let timeline = reading.fleet.machine(vm).map(|machine| &machine.timeline);
    let place = reading.fleet.place_at(vm, Instant(i64::MAX));
    (place, timeline.and_then(|timeline| timeline.state()), timeline.and_then(|timeline| timeline.purchase_option()))
}
