//! The jobs that people ask for: when, who, what, how big. Day and night, workdays and weekends, bursts of batch work.
//!
//! Invariant: jobs are in order of the instant at which they were queued. Must not know: machines and how the jobs went.

use plimsoll_entity::value::time::{DAY_US, HOUR_US, SECOND_US, Window};

use crate::demo::fleet::weekday;
use crate::demo::random::{Random, Zipf};
use crate::demo::studio::{APPLICATIONS, COMBINATIONS, DEPARTMENTS, MODELS, PROJECTS, USERS};

/// How much is asked for by the hour of the UTC day.
const HOURS: [f64; 24] =
    [0.12, 0.1, 0.1, 0.1, 0.12, 0.2, 0.45, 0.9, 1.5, 1.9, 2.0, 1.8, 1.4, 1.7, 2.0, 2.1, 1.8, 1.3, 0.9, 0.6, 0.45, 0.35, 0.25, 0.18];
/// The share of a weekend's day.
const WEEKEND: f64 = 0.24;
/// The share of the jobs that come in bursts, and the mean size of a burst.
const BURSTS: (f64, f64) = (0.25, 26.0);
/// Jobs of the evaluation that runs every night at two.
const NIGHTLY_JOBS: usize = 8;

/// One job.
#[derive(Clone, Debug)]
pub struct Job {
    /// When it was asked for.
    pub queued_us: i64,
    /// Index into [`COMBINATIONS`].
    pub combination: usize,
    /// Index into [`USERS`]; null: nobody told.
    pub user: Option<usize>,
    /// Index into [`DEPARTMENTS`]; null: nobody told.
    pub department: Option<usize>,
    /// Index into [`PROJECTS`]; null: nobody told.
    pub project: Option<usize>,
    /// Index into [`APPLICATIONS`]; null: nobody told.
    pub application: Option<usize>,
    /// Size against an ordinary job.
    pub size: f64,
}

/// Makes up about `count` jobs.
pub fn jobs(seed: u64, window: Window, count: usize) -> Vec<Job> {
    let mut desk = Desk {
        random: Random::topic(seed, 1),
        popularity: Zipf::of(COMBINATIONS.len(), 1.05),
        jobs: Vec::with_capacity(count + count / 10),
    };
    let hours: Vec<(i64, i64, f64)> = window
        .tiles(plimsoll_entity::value::time::Step::Hour)
        .into_iter()
        .map(|hour| (hour.start.0, hour.length_us(), intensity(hour.start.0) * hour.length_us() as f64 / HOUR_US as f64))
        .collect();
    let nightly = hours.iter().filter(|(start_us, ..)| is_nightly(*start_us)).count() * NIGHTLY_JOBS;
    let sum: f64 = hours.iter().map(|(.., weight)| weight).sum();
    let per_weight = count.saturating_sub(nightly) as f64 / sum.max(f64::MIN_POSITIVE);
    for (start_us, length_us, weight) in hours {
        let mean = weight * per_weight;
        for _ in 0..desk.random.poisson(mean * (1.0 - BURSTS.0)) {
            let at_us = start_us + desk.random.below(length_us as usize) as i64;
            desk.single(at_us);
        }
        for _ in 0..desk.random.poisson(mean * BURSTS.0 / BURSTS.1) {
            let at_us = start_us + desk.random.below(length_us as usize) as i64;
            desk.burst(at_us);
        }
        if is_nightly(start_us) {
            desk.nightly(start_us);
        }
    }
    desk.jobs.retain(|job| window.start.0 <= job.queued_us && job.queued_us <= window.end.0);
    desk.jobs.sort_by_key(|job| job.queued_us);
    desk.jobs
}

fn intensity(at_us: i64) -> f64 {
    let day = if weekday(at_us) < 5 { 1.0 } else { WEEKEND };
    day * HOURS[(at_us.rem_euclid(DAY_US) / HOUR_US) as usize]
}

fn is_nightly(hour_us: i64) -> bool {
    hour_us.rem_euclid(DAY_US) == 2 * HOUR_US
}

/// Where jobs come in.
struct Desk {
    random: Random,
    popularity: Zipf,
    jobs: Vec<Job>,
}

impl Desk {
    fn single(&mut self, queued_us: i64) {
        let combination = self.popularity.rank(&mut self.random);
        let job = self.job(queued_us, combination);
        self.jobs.push(job);
    }

    /// One person sends many jobs of one combination within minutes.
    fn burst(&mut self, queued_us: i64) {
        let combination = self.popularity.rank(&mut self.random);
        let mut job = self.job(queued_us, combination);
        job.application = Some(1);
        for _ in 0..=self.random.poisson(BURSTS.1 - 1.0) {
            job.size = self.size();
            self.jobs.push(job.clone());
            job.queued_us += 1 + self.random.below(5 * SECOND_US as usize) as i64;
        }
    }

    fn nightly(&mut self, hour_us: i64) {
        let user = USERS.iter().position(|(name, _)| *name == "nightly-eval");
        for place in 0..NIGHTLY_JOBS {
            let queued_us = hour_us + place as i64 * 250_000;
            let combination = place * 3 % COMBINATIONS.len();
            self.jobs.push(Job { queued_us, combination, user, department: Some(2), project: Some(9), application: Some(1), size: 1.0 });
        }
    }

    fn size(&mut self) -> f64 {
        self.random.log_normal(1.0, 0.45).clamp(0.15, 6.0)
    }

    fn job(&mut self, queued_us: i64, combination: usize) -> Job {
        let department = self.department(combination);
        let people: Vec<usize> = (0..USERS.len()).filter(|&user| USERS[user].1 == department).collect();
        // Everyone has favourites: the ranking of the people is another one for every combination.
        let rank = Zipf::of(people.len(), 1.1).rank(&mut self.random);
        let user = people[(combination * 7 + rank * 5) % people.len()];
        let projects: Vec<usize> = (0..PROJECTS.len()).filter(|&project| PROJECTS[project].1 == department).collect();
        let usual = (combination + user) % projects.len();
        let project = if self.random.chance(0.8) { usual } else { self.random.below(projects.len()) };
        let application = self.application(department);
        let size = self.size();
        Job {
            queued_us,
            combination,
            user: (!self.random.chance(0.02)).then_some(user),
            department: (!self.random.chance(0.015)).then_some(department),
            project: (!self.random.chance(0.03)).then_some(projects[project]),
            application: (!self.random.chance(0.01)).then_some(application),
            size,
        }
    }

    fn department(&mut self, combination: usize) -> usize {
        let drawn = self.random.unit();
        let of = |shares: [f64; 3]| shares.iter().position(|&until| drawn < until).unwrap_or(2).min(DEPARTMENTS.len() - 1);
        match MODELS[COMBINATIONS[combination].model].name {
            "whisper" => 3,
            "qwen-image-edit" => of([0.2, 0.9, 1.0]),
            "hunyuan-video" => of([0.35, 0.45, 1.0]),
            _ if COMBINATIONS[combination].checkpoints.contains(&17) => of([0.05, 0.95, 1.0]),
            _ => of([0.62, 0.82, 1.0]),
        }
    }

    fn application(&mut self, department: usize) -> usize {
        let drawn = self.random.unit();
        let shares = match department {
            0 => [0.45, 0.65, 1.0],
            3 => [0.2, 1.0, 1.0],
            _ => [0.6, 0.9, 1.0],
        };
        shares.iter().position(|&until| drawn < until).unwrap_or(0).min(APPLICATIONS.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_as_many_as_asked_for_and_more_by_day() {
        let window = Window::of(1_772_000_000 * SECOND_US, 1_774_592_000 * SECOND_US);
        let jobs = jobs(7, window, 24_000);
        assert!((23_000..25_000).contains(&jobs.len()), "{}", jobs.len());
        assert!(jobs.is_sorted_by_key(|job| job.queued_us));
        let by_day = jobs.iter().filter(|job| (8..18).contains(&(job.queued_us.rem_euclid(DAY_US) / HOUR_US))).count();
        assert!(by_day * 4 > jobs.len() * 3, "{by_day}");
        let used: std::collections::HashSet<_> = jobs.iter().map(|job| job.combination).collect();
        assert_eq!(used.len(), COMBINATIONS.len());
    }
}
