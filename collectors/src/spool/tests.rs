//! What the spool keeps, drops and survives.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const MANY: usize = 1_000;
const WIDE: usize = 1 << 20;

fn line(number: usize) -> String {
    format!("{{\"n\":{number}}}\n")
}

/// A line that fills much of a segment of the smallest spool (64 KiB).
fn long_line(number: usize) -> String {
    format!("{{\"n\":{number},\"pad\":\"{}\"}}\n", "x".repeat(40_000))
}

fn open(dir: &Path) -> Spool {
    Spool::open(dir, MAX_BYTES_MIN).unwrap()
}

/// Takes everything out, in batches of `max_lines`.
fn drain(spool: &mut Spool, max_lines: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(batch) = spool.peek(max_lines, WIDE).unwrap() {
        assert_eq!(batch.ndjson.lines().count(), batch.line_count);
        lines.extend(batch.ndjson.split_inclusive('\n').map(str::to_owned));
        spool.acknowledge(batch.position);
    }
    lines
}

#[test]
fn lines_come_out_in_order_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    let lines: Vec<String> = (0..10).map(line).collect();
    for line in &lines[..7] {
        spool.append(line, 1).unwrap();
    }
    let first = spool.peek(3, WIDE).unwrap().unwrap();
    assert_eq!(first.ndjson, lines[..3].concat());
    spool.append(&lines[7..].concat(), 3).unwrap();
    assert_eq!(spool.peek(3, WIDE).unwrap().unwrap(), first, "until they are acknowledged they are the oldest");
    spool.acknowledge(first.position);
    assert_eq!(spool.line_count(), 7);
    assert_eq!(drain(&mut spool, 4), lines[3..]);
    assert_eq!((spool.line_count(), spool.size_bytes()), (0, 0));
    spool.append(&lines[0], 1).unwrap();
    assert_eq!(drain(&mut spool, MANY), lines[..1], "the emptied segment goes on");
}

#[test]
fn what_was_not_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    for number in 0..6 {
        spool.append(&long_line(number), 1).unwrap();
    }
    assert_eq!(spool.segments.len(), 6, "two do not fit into one segment");
    let first = spool.peek(1, WIDE).unwrap().unwrap();
    spool.acknowledge(first.position);
    // Dropping it does what the end of the process does: closes the files, releases the lock.
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(spool.line_count(), 5);
    spool.append(&line(6), 1).unwrap();
    let expected: Vec<String> = (1..6).map(long_line).chain([line(6)]).collect();
    assert_eq!(drain(&mut spool, MANY), expected);
}

#[test]
fn a_torn_line_and_damage_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{}{}\0\0\0\0\n\u{fffd}\n{}{{\"n\":3,", line(0), line(1), line(2));
    fs::write(dir.path().join("00000000000000000007.ndjson"), text).unwrap();
    fs::write(dir.path().join("00000000000000000008.ndjson"), "{\"n\":").unwrap();
    fs::write(dir.path().join("notes.txt"), "not ours").unwrap();
    let mut spool = open(dir.path());
    spool.append(&line(4), 1).unwrap();
    assert_eq!(drain(&mut spool, MANY), [line(0), line(1), line(2), line(4)]);
    assert!(!dir.path().join("00000000000000000007.ndjson").exists());
    assert!(dir.path().join("notes.txt").exists());
}

#[test]
fn a_segment_that_is_all_damage_is_counted_and_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("00000000000000000000.ndjson"), "\0\0\n\0\n").unwrap();
    fs::write(dir.path().join("00000000000000000001.ndjson"), [vec![b'x'; 200_000], vec![b'\n']].concat()).unwrap();
    let mut spool = open(dir.path());
    spool.append(&line(1), 1).unwrap();
    assert_eq!(drain(&mut spool, MANY), [line(1)]);
    assert_eq!(spool.take_dropped_lines(), 3);
}

#[test]
fn the_oldest_go_when_there_is_no_room_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    for number in 0..40 {
        spool.append(&long_line(number), 1).unwrap();
        assert!(spool.size_bytes() <= MAX_BYTES_MIN);
    }
    let kept = spool.line_count();
    assert_eq!(spool.take_dropped_lines(), 40 - kept);
    assert_eq!(spool.take_dropped_lines(), 0);
    let expected: Vec<String> = (40 - usize::try_from(kept).unwrap()..40).map(long_line).collect();
    assert_eq!(drain(&mut spool, MANY), expected);
}

#[test]
fn what_is_being_sent_is_not_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.append(&long_line(0), 1).unwrap();
    let sent = spool.peek(MANY, WIDE).unwrap().unwrap();
    for number in 1..40 {
        spool.append(&long_line(number), 1).unwrap();
    }
    let before = spool.line_count();
    spool.acknowledge(sent.position);
    assert_eq!(spool.line_count(), before - 1);
    assert_eq!(spool.take_dropped_lines() + before, 40);

    // Once it is released, the oldest is the first to go.
    let oldest = spool.peek(1, WIDE).unwrap().unwrap();
    spool.release();
    for number in 40..60 {
        spool.append(&long_line(number), 1).unwrap();
    }
    let before = spool.line_count();
    spool.acknowledge(oldest.position);
    assert_eq!(spool.line_count(), before, "acknowledging what is gone changes nothing");
}

#[test]
fn a_lower_bound_holds_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 4 * MAX_BYTES_MIN).unwrap();
    for number in 0..80 {
        spool.append(&long_line(number), 1).unwrap();
    }
    drop(spool);
    let mut spool = open(dir.path());
    assert!(spool.size_bytes() <= MAX_BYTES_MIN);
    assert_eq!(spool.take_dropped_lines() + spool.line_count(), 80);
    assert!(matches!(Spool::open(dir.path(), 1), Err(SpoolError::TooSmall(1))));
}

#[test]
fn one_process_at_a_time_and_nobody_else_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/spool");
    let mut spool = open(&path);
    spool.append(&line(0), 1).unwrap();
    assert!(matches!(Spool::open(&path, MAX_BYTES_MIN), Err(SpoolError::Locked(_))));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("00000000000000000000.ndjson")), 0o600);
    assert_eq!(mode(&path.join("lock")), 0o600);
}

#[test]
fn a_segment_that_cannot_be_read_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    for number in 0..3 {
        spool.append(&long_line(number), 1).unwrap();
    }
    fs::remove_file(dir.path().join("00000000000000000000.ndjson")).unwrap();
    assert!(spool.peek(MANY, WIDE).is_err());
    spool.give_up_oldest();
    assert_eq!(spool.take_dropped_lines(), 1);
    assert_eq!(drain(&mut spool, MANY), [long_line(1), long_line(2)]);
}
