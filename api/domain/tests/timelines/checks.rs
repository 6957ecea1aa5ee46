//! Answers against the brute force, and against each other: parts add up.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, ExecutionOrder, ExecutionQuestion, Reader, Reading};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::machines::MachineQuestion;
use plimsoll_domain::breakdown::switching::{SwitchFigures, SwitchQuestion};
use plimsoll_domain::breakdown::usage::{UsageFigures, UsageQuestion, widened};
use plimsoll_domain::cell::part::Part;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, Window};

use super::answers::{DIMENSIONS, window};
use super::directory::{Directory, Key};
use super::events::{NOW_US, START_US};
use super::random::Random;
use super::truth::{Hours, Switches, Truth};

/// Windows of each kind.
const WINDOWS: usize = 2;
const MOST: usize = 10_000;

/// What is asked, of whom, and what is true.
pub struct Checked<'a> {
    pub reader: &'a Reader,
    pub reading: &'a Reading,
    pub directory: &'a Directory,
    pub truth: &'a Truth,
}

fn hours(figures: &UsageFigures) -> Hours {
    [figures.gpu_hours, figures.cpu_hours, figures.idle_gpu_hours, figures.idle_cpu_hours]
}

fn sum(parts: impl Iterator<Item = Hours>) -> Hours {
    parts.fold([0.0; 4], |sum, part| [0, 1, 2, 3].map(|at| sum[at] + part[at]))
}

fn near(one: Hours, other: Hours) -> bool {
    one.iter().zip(other).all(|(one, other)| (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1e-3))
}

impl Checked<'_> {
    async fn usage(&self, window: Window, by: &[Dimension], limit: usize) -> Breakdown<UsageFigures> {
        let asked = UsageQuestion { window, by: by.to_vec(), limit };
        self.reader.usage_breakdown(self.reading, &asked, &Filter::default()).await.unwrap()
    }

    pub async fn all(&self, random: &mut Random) {
        for _ in 0..WINDOWS {
            let window = window(random);
            for dimension in DIMENSIONS {
                self.usage_rows(widened(window), &[dimension]).await;
                self.switches(window, &[dimension]).await;
            }
            self.usage_rows(widened(window), &[Dimension::Vm, Dimension::Region, Dimension::User]).await;
            self.usage_adds_up(random, widened(window)).await;
            self.transitions(window).await;
            self.activity(window).await;
            self.instance_types(window).await;
            self.executions(window).await;
        }
        self.everything_is_held().await;
    }

    async fn usage_rows(&self, window: Window, by: &[Dimension]) {
        let answer = self.usage(window, by, MOST).await;
        let mut expected = self.truth.usage(window, by);
        expected.retain(|_, hours| *hours != [0.0; 4]);
        let mut got: BTreeMap<Key, Hours> = answer.rows.iter().map(|(key, figures)| (self.directory.key(key), hours(figures))).collect();
        assert_eq!(got.len(), answer.rows.len(), "{window:?} by {by:?}: a row stands twice");
        got.retain(|_, hours| *hours != [0.0; 4]);
        assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{window:?} by {by:?}");
        for (key, got) in &got {
            assert!(near(*got, expected[key]), "{window:?} by {by:?}, {key:?}: {got:?}, in truth {:?}", expected[key]);
        }
        assert!(near(sum(got.into_values()), hours(&answer.total)), "{window:?} by {by:?}: the sum over a dimension is not the total");
    }

    async fn usage_adds_up(&self, random: &mut Random, window: Window) {
        let by = [random.pick(&DIMENSIONS)];
        let answer = self.usage(window, &by, 1).await;
        let total = hours(&answer.total);
        let parts = answer.rows.iter().map(|(_, figures)| figures).chain(&answer.other).map(hours);
        assert!(near(sum(parts), total), "{window:?} by {by:?}: rows + other is not the total");
        let length = window.length_us() / HOUR_US;
        let middle = Instant(window.start.0 + random.between(0, length) * HOUR_US);
        if middle > window.start {
            let before = self.usage(Window { start: window.start, end: middle }, &[], 0).await;
            let after = self.usage(Window { start: middle, end: window.end }, &[], 0).await;
            let parts = sum([before, after].iter().map(|answer| hours(&answer.total)));
            assert!(near(parts, total), "{window:?} split at {middle:?} does not add up");
        }
    }

    async fn everything_is_held(&self) {
        let window = Window::of(START_US - 2 * DAY_US, NOW_US + 2 * DAY_US);
        let total = hours(&self.usage(window, &[], 0).await.total);
        let held = self.truth.held_gpu_hours - self.truth.overhead_gpu_hours;
        assert!((total[0] + total[2] - held).abs() <= 1e-9 * held.max(1e-3), "{total:?} of {held} hours that somebody caused");
    }

    async fn switches(&self, window: Window, by: &[Dimension]) {
        let asked = SwitchQuestion { window, by: by.to_vec(), limit: MOST, transitions: None };
        let answer = self.reader.switching(self.reading, &asked, &Filter::default()).await.unwrap().breakdown;
        let told = |figures: &SwitchFigures| -> Switches {
            let count = |distribution: Option<plimsoll_domain::breakdown::figures::Distribution>| distribution.map_or(0, |all| all.count);
            assert_eq!(count(figures.switched), figures.switches);
            assert_eq!(count(figures.switched) + count(figures.unswitched) + figures.cold_starts, figures.executions);
            [figures.executions, figures.switches, figures.cold_starts]
        };
        let got: BTreeMap<Key, Switches> = answer.rows.iter().map(|(key, figures)| (self.directory.key(key), told(figures))).collect();
        assert_eq!(got, self.truth.switching(window, by).0, "{window:?} by {by:?}");
        let all = self.truth.switching(window, &[]).0.into_values().next().unwrap_or_default();
        assert_eq!(told(&answer.total), all, "{window:?}");
    }

    async fn transitions(&self, window: Window) {
        let asked = SwitchQuestion { window, by: Vec::new(), limit: 0, transitions: Some(MOST) };
        let answer = self.reader.switching(self.reading, &asked, &Filter::default()).await.unwrap();
        let text = |id: u32| self.directory.text(Dimension::Combination, id).unwrap();
        let got: BTreeMap<_, _> =
            answer.transitions.iter().map(|transition| ((text(transition.from), text(transition.to)), transition.switches)).collect();
        assert_eq!(got, self.truth.switching(window, &[]).1, "{window:?}");
    }

    async fn activity(&self, window: Window) {
        let by = vec![Dimension::Vm, Dimension::InstanceType, Dimension::Region, Dimension::Provider];
        let asked = MachineQuestion { window, by, parts: [Part::ActiveTime].into(), limit: MOST };
        let answer = self.reader.machine_breakdown(self.reading, &asked, &Filter::default()).await.unwrap();
        let got: BTreeMap<Key, [i128; 2]> = answer
            .rows
            .iter()
            .map(|(key, figures)| (self.directory.key(key), figures.activity.unwrap()))
            .filter(|(_, activity)| activity.running_us > 0 || activity.active_us > 0)
            .map(|(key, activity)| (key, [activity.running_us, activity.active_us]))
            .collect();
        let expected: BTreeMap<Key, [i128; 2]> = self
            .truth
            .activity(window)
            .into_iter()
            .map(|((vm, place), us)| ([Some(vm)].into_iter().chain(place).collect(), [us[0], us[1]].map(i128::from)))
            .collect();
        assert_eq!(got, expected, "{window:?}");
        let active_us: i128 = expected.values().map(|us| us[1]).sum();
        assert_eq!(answer.total.activity.unwrap().active_us, active_us, "{window:?}");
    }

    async fn instance_types(&self, window: Window) {
        let mut expected: BTreeMap<String, [i64; 3]> = BTreeMap::new();
        for ((_, place), us) in self.truth.activity(window) {
            if let [Some(kind), ..] = place {
                let row = expected.entry(kind).or_default();
                row.iter_mut().zip([us[0], us[2], us[3]]).for_each(|(sum, us)| *sum += us);
            }
        }
        let answer = self.reader.instance_types(self.reading, window, &Filter::default()).await.unwrap();
        for figures in &answer {
            let kind = self.directory.text(Dimension::InstanceType, figures.instance_type_id).unwrap();
            let [running, busy, slots] = expected.remove(&kind).unwrap_or_default().map(|us| us as f64);
            assert_eq!(figures.running_hours, running / 3_600e6, "{window:?}, {kind}");
            assert_eq!(figures.busy_ratio, (slots > 0.0).then(|| busy / slots), "{window:?}, {kind}");
        }
        assert!(expected.is_empty(), "{window:?}: {expected:?} are missing");
    }

    /// GPU samples by who held the GPU, and the largest share of GPU memory.
    async fn executions(&self, window: Window) {
        let parts: BTreeSet<Part> = [Part::GpuMemory, Part::MemoryRatioMax, Part::GpuSamples, Part::GpuRatio, Part::GpuMemoryUsed].into();
        let asked = ExecutionQuestion { window, by: vec![Dimension::Vm, Dimension::Combination], parts: parts.clone(), limit: MOST };
        let (order, filter) = (ExecutionOrder::Executions, Filter::default());
        let answer = self.reader.execution_breakdown(self.reading, &asked, &filter, order).await.unwrap();
        let owned = self.truth.owned_samples(window);
        for (key, figures) in &answer.rows {
            let samples = figures.gpu_samples.unwrap().samples;
            let expected = match &self.directory.key(key)[..] {
                [Some(vm), Some(combination)] => owned.get(&(vm.clone(), combination.clone())).copied().unwrap_or(0),
                _ => 0,
            };
            assert_eq!(samples, expected, "{window:?}, {:?}", self.directory.key(key));
        }
        assert_eq!(answer.total.gpu_samples.unwrap().samples, owned.values().sum::<u64>(), "{window:?}");
        let asked = ExecutionQuestion { window, by: vec![Dimension::Vm], parts, limit: MOST };
        let answer = self.reader.execution_breakdown(self.reading, &asked, &filter, order).await.unwrap();
        let largest = self.truth.memory_ratio(window);
        for (key, figures) in &answer.rows {
            let got = figures.gpu_memory.and_then(|memory| memory.max_ratio);
            let expected = self.directory.key(key)[0].as_ref().and_then(|vm| largest.get(vm).copied());
            assert_eq!(got, expected, "{window:?}, {:?}", self.directory.key(key));
        }
    }
}
