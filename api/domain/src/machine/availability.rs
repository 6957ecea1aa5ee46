//! How long machines were up, down and in maintenance, and how long they took to recover. Pure.
//!
//! Within a life a machine is up in RUNNING, down in UNREACHABLE and FAILED; DEPROVISIONING, STOPPED and the rest count as nothing.
//! A RUNNING machine is also down while it is silent: from its last sample + 3 of that sample's intervals until the next sample or
//! state after that sample. An incident is an unbroken stretch of down: it counts where it began, and its recovery where it ended
//! with RUNNING or a sample (contract, "Availability").
//! Invariants: up + down + maintenance never exceed the window; windows that split a window add up to it; nothing is said of what
//! lies behind the last instant that is known. Must not know: names, the database, where gaps between samples come from.

use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::{Instant, SECOND_US, Window};

use crate::timeline::life::{Span, Timeline};

/// Intervals without a sample after which a machine is silent.
pub const SILENT_INTERVALS: f64 = 3.0;

/// Figures of availability, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AvailabilityFigures {
    /// Up.
    pub up_us: i64,
    /// Down.
    pub down_us: i64,
    /// In maintenance.
    pub maintenance_us: i64,
    /// Incidents that began.
    pub incidents: u64,
    /// Incidents that ended with RUNNING or a sample.
    pub recoveries: u64,
    /// How long those had lasted, from their beginning on.
    pub recovery_us: i128,
}

impl AvailabilityFigures {
    /// Adds everything of another.
    pub const fn merge(&mut self, other: &Self) {
        self.up_us += other.up_us;
        self.down_us += other.down_us;
        self.maintenance_us += other.maintenance_us;
        self.incidents += other.incidents;
        self.recoveries += other.recoveries;
        self.recovery_us += other.recovery_us;
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// up / (up + down); none when the machine was neither.
    #[must_use]
    pub fn availability_ratio(&self) -> Option<f64> {
        let told_us = self.up_us + self.down_us;
        (told_us > 0).then(|| self.up_us as f64 / told_us as f64)
    }

    /// Mean length of the incidents that ended with a recovery; none without one.
    #[must_use]
    pub fn mean_time_to_recover_ms(&self) -> Option<f64> {
        (self.recoveries > 0).then(|| self.recovery_us as f64 / 1_000.0 / self.recoveries as f64)
    }
}

/// The last sample before a while without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// The last sample.
    pub sampled_at: Instant,
    /// When the machine is silent, unless something comes before.
    pub silent_at: Instant,
    /// The next sample; none when none is known.
    pub next_at: Option<Instant>,
}

impl Gap {
    /// The gap after a sample.
    #[must_use]
    pub fn after(sampled_at: Instant, interval_seconds: f64, next_at: Option<Instant>) -> Self {
        // A sample always breaks a silence, however short its interval is.
        let patience_us = ((interval_seconds * SILENT_INTERVALS * SECOND_US as f64).round() as i64).max(1);
        Self { sampled_at, silent_at: Instant(sampled_at.0.saturating_add(patience_us)), next_at }
    }

    /// Whether the next sample came too late, or not yet.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.next_at.is_none_or(|next| self.silent_at < next)
    }
}

/// What is known of a machine's states up to an instant, from its first change on. A machine without any state is taken as RUNNING
/// from its first sample, load or execution to its last.
#[must_use]
pub fn known_spans(timeline: &Timeline, touched: Option<Window>, known_until: Instant) -> Vec<Span> {
    if !timeline.is_empty() {
        return timeline.spans(Window { start: Instant(0), end: known_until });
    }
    let cut = |touched: Window| Window { start: touched.start, end: touched.end.min(known_until) };
    let stretch = touched.map(cut).filter(|stretch| stretch.length_us() > 0);
    stretch.map(|window| Span { window, state: VmState::Running, life_began_at: Some(window.start) }).into_iter().collect()
}

/// The RUNNING stretch before a window whose last sample decides how the window begins: whether the machine is silent at its first
/// instant, or since when the incident lasts that reaches up to it.
#[must_use]
pub fn undecided(spans: &[Span], window: Window) -> Option<Window> {
    let mut at = spans.partition_point(|span| span.window.end < window.start);
    if spans.get(at)?.window.start >= window.start {
        return None;
    }
    while kind_of(&spans[at]) == Some(Kind::Down) {
        at = at.checked_sub(1)?;
    }
    let span = &spans[at];
    let stretch = Window { start: span.window.start, end: span.window.end.min(window.start) };
    (kind_of(span) == Some(Kind::Up)).then_some(stretch)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Up,
    Down,
    Maintenance,
}

/// What a state counts as; none: as nothing.
fn kind_of(span: &Span) -> Option<Kind> {
    span.life_began_at?;
    match span.state {
        VmState::Running => Some(Kind::Up),
        VmState::Unreachable | VmState::Failed => Some(Kind::Down),
        VmState::Maintenance => Some(Kind::Maintenance),
        VmState::Requested | VmState::Provisioning | VmState::Stopped | VmState::Deprovisioning | VmState::Terminated => None,
    }
}

#[derive(Clone, Copy, Debug)]
struct Phase {
    window: Window,
    kind: Kind,
}

/// What counts, in order and never empty; what counts as nothing is left out.
fn phases(spans: &[Span], gaps: &[Gap]) -> Vec<Phase> {
    let mut phases = Vec::with_capacity(spans.len());
    let mut push = |start: Instant, end: Instant, kind: Kind| {
        if start < end {
            phases.push(Phase { window: Window { start, end }, kind });
        }
    };
    for span in spans {
        let Some(kind) = kind_of(span) else { continue };
        let Window { mut start, end } = span.window;
        if kind == Kind::Up {
            let from = gaps.partition_point(|gap| gap.sampled_at < start);
            for gap in gaps[from..].iter().take_while(|gap| gap.sampled_at < end) {
                let silence = Window { start: gap.silent_at, end: gap.next_at.map_or(end, |next| next.min(end)) };
                if silence.length_us() > 0 {
                    push(start, silence.start, Kind::Up);
                    push(silence.start, silence.end, Kind::Down);
                    start = silence.end;
                }
            }
        }
        push(start, end, kind);
    }
    phases
}

/// Figures of a stretch in which nothing that a machine can be broken down by changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// An instant of the stretch.
    pub at: Instant,
    /// Its figures.
    pub figures: AvailabilityFigures,
}

/// The figures of one machine in a window. `spans` are those of [`known_spans`]; `gaps` are the long ones in order of time, at
/// least those of the window and of the stretch that is [`undecided`] before it. An incident belongs, with its recovery, to the
/// instant at which it began.
#[must_use]
pub fn availability(spans: &[Span], gaps: &[Gap], window: Window) -> Vec<Piece> {
    let phases = phases(spans, gaps);
    let mut pieces = Vec::new();
    // When the incident began that the phase before belongs to, and its end.
    let mut incident: Option<Window> = None;
    for phase in &phases {
        let cut = Window { start: phase.window.start.max(window.start), end: phase.window.end.min(window.end) };
        let mut figures = AvailabilityFigures::default();
        match phase.kind {
            Kind::Up => figures.up_us = cut.length_us(),
            Kind::Down => figures.down_us = cut.length_us(),
            Kind::Maintenance => figures.maintenance_us = cut.length_us(),
        }
        if !figures.is_empty() {
            pieces.push(Piece { at: cut.start, figures });
        }
        let reaching = incident.take().filter(|incident| incident.end == phase.window.start);
        if phase.kind == Kind::Down {
            let start = reaching.map_or(phase.window.start, |incident| incident.start);
            incident = Some(Window { start, end: phase.window.end });
            if reaching.is_none() && window.contains(start) {
                pieces.push(Piece { at: start, figures: AvailabilityFigures { incidents: 1, ..AvailabilityFigures::default() } });
            }
        } else if let (Kind::Up, Some(over)) = (phase.kind, reaching)
            && window.contains(over.end)
        {
            let recovery_us = i128::from(over.length_us());
            let figures = AvailabilityFigures { recoveries: 1, recovery_us, ..AvailabilityFigures::default() };
            pieces.push(Piece { at: over.start, figures });
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::timeline::life::StateChange;
    use VmState::{Deprovisioning, Failed, Maintenance, Provisioning, Requested, Running, Stopped, Terminated, Unreachable};

    fn timeline(changes: &[(i64, VmState)]) -> Timeline {
        let change = |(number, (at, state)): (usize, &(i64, VmState))| StateChange {
            at: Instant(*at),
            state: *state,
            id: Uuid::from_u128(number as u128),
            instance_type_id: 0,
            provider_id: 0,
            region_id: 0,
            purchase_option: None,
        };
        Timeline::new(changes.iter().enumerate().map(change).collect())
    }

    /// Samples with an interval of 10 microseconds.
    fn gaps(samples: &[i64]) -> Vec<Gap> {
        let next = |number: usize| samples.get(number + 1).map(|at| Instant(*at));
        let all = samples.iter().enumerate().map(|(number, at)| Gap::after(Instant(*at), 1e-5, next(number)));
        all.filter(Gap::is_long).collect()
    }

    fn sum(pieces: &[Piece]) -> AvailabilityFigures {
        let mut figures = AvailabilityFigures::default();
        pieces.iter().for_each(|piece| figures.merge(&piece.figures));
        figures
    }

    fn figures(changes: &[(i64, VmState)], samples: &[i64], window: Window) -> AvailabilityFigures {
        let spans = known_spans(&timeline(changes), None, Instant(1_000));
        sum(&availability(&spans, &gaps(samples), window))
    }

    fn times(figures: AvailabilityFigures) -> [i64; 3] {
        [figures.up_us, figures.down_us, figures.maintenance_us]
    }

    fn incidents(figures: AvailabilityFigures) -> (u64, u64, i128) {
        (figures.incidents, figures.recoveries, figures.recovery_us)
    }

    const ALL: Window = Window::of(0, 1_000);

    #[test]
    fn states_count_as_up_down_maintenance_or_nothing() {
        let changes = [
            (0, Requested),
            (10, Provisioning),
            (30, Running),
            (130, Maintenance),
            (180, Running),
            (200, Unreachable),
            (210, Failed),
            (230, Running),
            (300, Stopped),
            (400, Running),
            (500, Deprovisioning),
            (600, Terminated),
        ];
        let figures = figures(&changes, &[], ALL);
        assert_eq!(times(figures), [100 + 20 + 70 + 100, 30, 50]);
        assert_eq!(incidents(figures), (1, 1, 30), "UNREACHABLE and FAILED without a break are one incident");
        assert_eq!(figures.availability_ratio(), Some(290.0 / 320.0));
        assert_eq!(figures.mean_time_to_recover_ms(), Some(0.03));
    }

    #[test]
    fn only_a_life_counts() {
        let changes = [(0, Unreachable), (10, Failed), (20, Running), (50, Terminated), (60, Failed), (70, Requested), (80, Failed)];
        let figures = figures(&changes, &[], ALL);
        assert_eq!((times(figures), incidents(figures)), ([30, 0, 0], (0, 0, 0)));
    }

    #[test]
    fn silence_lasts_from_three_intervals_to_the_next_sample() {
        let figures = figures(&[(0, Running)], &[100, 110, 141, 171, 300, 310, 980], Window::of(0, 1_000));
        assert_eq!(incidents(figures), (3, 3, 1 + 99 + 640), "a gap of exactly three intervals is none");
        assert_eq!(times(figures), [260, 740, 0]);
    }

    #[test]
    fn a_machine_that_never_sent_a_sample_is_not_silent() {
        assert_eq!(times(figures(&[(0, Running)], &[], ALL)), [1_000, 0, 0]);
        assert_eq!(times(figures(&[(0, Running)], &[500], ALL)), [530, 470, 0], "from its last sample on it is");
    }

    #[test]
    fn any_state_after_the_sample_ends_its_silence() {
        let told_again = figures(&[(0, Running), (200, Running)], &[100], ALL);
        assert_eq!((times(told_again), incidents(told_again)), ([930, 70, 0], (1, 1, 70)));
        let told_before = figures(&[(0, Running), (120, Running)], &[100], ALL);
        assert_eq!(times(told_before), [1_000, 0, 0]);
        let at_the_sample = figures(&[(0, Running), (100, Running)], &[100], ALL);
        assert_eq!(times(at_the_sample), [130, 870, 0], "a state at the sample is not after it");
        let away = figures(&[(0, Running), (90, Maintenance), (110, Running)], &[100], ALL);
        assert_eq!(times(away), [980, 0, 20], "a sample in another state is answered by the RUNNING after it");
    }

    #[test]
    fn silence_that_becomes_unreachable_is_one_incident() {
        let changes = [(0, Running), (200, Unreachable), (250, Running)];
        let figures = figures(&changes, &[100, 260, 290, 320], Window::of(0, 330));
        assert_eq!((times(figures), incidents(figures)), ([210, 120, 0], (1, 1, 120)));
    }

    #[test]
    fn an_incident_counts_where_it_began_and_recovers_where_it_ended() {
        let changes = [(0, Running), (200, Unreachable), (300, Running)];
        let of = |start, end| incidents(figures(&changes, &[], Window::of(start, end)));
        assert_eq!(of(0, 200), (0, 0, 0));
        assert_eq!(of(200, 300), (1, 0, 0), "the window ends before the first instant of RUNNING");
        assert_eq!(of(201, 299), (0, 0, 0));
        assert_eq!(of(300, 400), (0, 1, 100), "how long it took is told in full");
        assert_eq!(of(301, 400), (0, 0, 0));
    }

    #[test]
    fn only_running_or_a_sample_is_a_recovery() {
        for end in [Maintenance, Deprovisioning, Terminated, Stopped, Requested] {
            let figures = figures(&[(0, Running), (200, Unreachable), (300, end), (400, Running)], &[], ALL);
            assert_eq!(incidents(figures), (1, 0, 0), "{end:?}");
        }
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known_yet() {
        let spans = known_spans(&timeline(&[(0, Running), (500, Unreachable)]), None, Instant(400));
        let figures = sum(&availability(&spans, &gaps(&[390]), ALL));
        assert_eq!((times(figures), incidents(figures)), ([400, 0, 0], (0, 0, 0)));
        assert!(known_spans(&timeline(&[(500, Running)]), None, Instant(400)).is_empty());
    }

    #[test]
    fn a_machine_without_any_state_runs_from_its_first_touch_to_its_last() {
        let spans = |until| known_spans(&Timeline::default(), Some(Window::of(100, 400)), Instant(until));
        assert_eq!(times(sum(&availability(&spans(1_000), &gaps(&[100, 200, 390]), ALL))), [130 - 100 + 30 + 10, 70 + 160, 0]);
        assert_eq!(times(sum(&availability(&spans(150), &[], ALL))), [50, 0, 0]);
        assert!(known_spans(&Timeline::default(), None, Instant(9)).is_empty());
        assert!(known_spans(&Timeline::default(), Some(Window::of(7, 7)), Instant(9)).is_empty());
    }

    #[test]
    fn the_stretch_before_a_window_decides_how_it_begins() {
        let spans = known_spans(
            &timeline(&[(10, Running), (20, Running), (200, Unreachable), (250, Failed), (300, Running)]),
            None,
            Instant(1_000),
        );
        let before = |at| undecided(&spans, Window::of(at, 999));
        assert_eq!(before(10), None);
        assert_eq!(before(20), Some(Window::of(10, 20)), "a silence may end at the first instant of the window");
        assert_eq!(before(100), Some(Window::of(20, 100)));
        assert_eq!(before(200), Some(Window::of(20, 200)));
        assert_eq!(before(260), Some(Window::of(20, 200)), "the incident may have begun with silence");
        assert_eq!(before(300), Some(Window::of(20, 200)));
        assert_eq!(before(301), Some(Window::of(300, 301)));
        assert_eq!(undecided(&spans, Window::of(2_000, 3_000)), None);
    }

    #[test]
    fn the_shortest_interval_is_no_endless_incident() {
        let gap = Gap::after(Instant(5), 1e-9, Some(Instant(9)));
        assert_eq!(gap.silent_at, Instant(6));
        assert!(Gap::after(Instant(5), 86_400.0, None).is_long());
    }

    fn any_changes() -> impl Strategy<Value = Vec<(i64, VmState)>> {
        let state = prop_oneof![Just(Running), Just(Unreachable), prop::sample::select(VmState::ALL.to_vec())];
        prop::collection::vec((0_i64..400, state), 0..16)
    }

    fn any_samples() -> impl Strategy<Value = Vec<i64>> {
        prop::collection::btree_set(0_i64..400, 0..16).prop_map(|samples| samples.into_iter().collect())
    }

    /// What is true of one instant, read off the rules: 0 nothing, 1 up, 2 down, 3 maintenance.
    fn at_instant(changes: &[(i64, VmState)], samples: &[i64], at: i64) -> u8 {
        let mut sorted: Vec<(i64, VmState)> = changes.iter().copied().filter(|change| change.0 <= at).collect();
        sorted.sort();
        let alive_from = sorted.iter().rposition(|change| change.1 == Terminated).map_or(0, |ended| ended + 1);
        let alive = sorted[alive_from..].iter().any(|change| change.1 == Running);
        let Some((since, state)) = sorted.last().copied().filter(|_| alive) else { return 0 };
        match state {
            Running => {
                let last = samples.iter().copied().rfind(|sample| *sample <= at);
                if last.is_some_and(|last| last >= since && at >= last + 30) { 2 } else { 1 }
            }
            Unreachable | Failed => 2,
            Maintenance => 3,
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn every_instant_counts_once_and_as_the_rules_say(changes in any_changes(), samples in any_samples(), start in 0_i64..400, length in 1_i64..200) {
            let window = Window::of(start, start + length);
            let mut expected = [0_i64; 4];
            (start..start + length).for_each(|at| expected[at_instant(&changes, &samples, at) as usize] += 1);
            let figures = figures(&changes, &samples, window);
            prop_assert_eq!(times(figures), [expected[1], expected[2], expected[3]]);
            prop_assert!(figures.up_us + figures.down_us + figures.maintenance_us <= window.length_us());
        }

        #[test]
        fn the_windows_of_a_split_add_up(changes in any_changes(), samples in any_samples(), cut in 0_i64..500) {
            let mut split = figures(&changes, &samples, Window::of(0, cut));
            split.merge(&figures(&changes, &samples, Window::of(cut, 500)));
            prop_assert_eq!(split, figures(&changes, &samples, Window::of(0, 500)));
        }

        #[test]
        fn the_gaps_of_the_window_and_the_undecided_stretch_are_enough(changes in any_changes(), samples in any_samples(), start in 0_i64..400) {
            let window = Window::of(start, 450);
            let spans = known_spans(&timeline(&changes), None, Instant(450));
            let before = undecided(&spans, window);
            let carried = samples.iter().copied().rfind(|at| before.is_some_and(|before| before.contains(Instant(*at))));
            let few: Vec<i64> = carried.into_iter().chain(samples.iter().copied().filter(|at| *at >= start)).collect();
            prop_assert_eq!(sum(&availability(&spans, &gaps(&few), window)), sum(&availability(&spans, &gaps(&samples), window)));
        }
    }
}
