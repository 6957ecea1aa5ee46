//! Space of the local file systems, of which `/proc/self/mountinfo` has the list.
//!
//! Invariants: a file system counts once, however often it is mounted; the data sets of a ZFS pool share its free space;
//! network file systems, images and memory are not this machine's disk, and asking a dead network server for its size would
//! hang. Must not know: I/O.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use procfs::process::{MountInfo, MountInfos};
use procfs::{FromBufRead, ProcResult};

/// File systems that lie in an image or on removable media, though their source is a device.
const IMAGE_TYPES: [&str; 4] = ["squashfs", "iso9660", "udf", "erofs"];
/// File systems that have no device as their source and yet are local.
const POOL_TYPES: [&str; 2] = ["zfs", "bcachefs"];

/// Which space a file system shares with which others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pool {
    /// A file system of its own, by its device number.
    Device(String),
    /// A data set of a ZFS pool, by the pool's name.
    Zfs(String),
}

/// A file system to be asked for its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    pool: Pool,
    mount_point: PathBuf,
}

/// Size of one file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) total_bytes: u64,
    pub(super) free_bytes: u64,
}

/// Used and total space of all local file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DiskSpace {
    pub(super) used_bytes: u64,
    pub(super) total_bytes: u64,
}

/// The local file systems of a `mountinfo` text; the root, whatever it is, where there is no other (as in a container).
pub(super) fn volumes(mountinfo: &str) -> ProcResult<Vec<Volume>> {
    let MountInfos(mounts) = MountInfos::from_buf_read(mountinfo.as_bytes())?;
    let mut seen = HashSet::new();
    let local = mounts.iter().filter(|mount| is_local(mount));
    let local: Vec<_> = local.filter(|mount| seen.insert(mount.majmin.as_str())).map(Volume::of).collect();
    if !local.is_empty() {
        return Ok(local);
    }
    // The last mount over a mount point is the one that is seen.
    Ok(mounts.iter().rev().find(|mount| mount.mount_point == Path::new("/")).map(Volume::of).into_iter().collect())
}

/// Adds the volumes up; one that cannot be asked is left out, and `None` says that none could.
pub(super) fn total(volumes: &[Volume], space_at: impl Fn(&Path) -> Option<Space>) -> Option<DiskSpace> {
    let mut pools: BTreeMap<&Pool, Space> = BTreeMap::new();
    for volume in volumes {
        let Some(space) = space_at(&volume.mount_point) else { continue };
        pools
            .entry(&volume.pool)
            // Each data set says: what I use, and the free space of the pool that all may use.
            .and_modify(|pool| {
                pool.total_bytes += space.total_bytes.saturating_sub(space.free_bytes);
            })
            .or_insert(space);
    }
    if pools.is_empty() {
        return None;
    }
    let total_bytes = pools.values().map(|space| space.total_bytes).sum();
    let free_bytes: u64 = pools.values().map(|space| space.free_bytes).sum();
    Some(DiskSpace { used_bytes: u64::saturating_sub(total_bytes, free_bytes), total_bytes })
}

/// Asks the kernel for the size of the file system at `path`.
pub(super) fn space_at(path: &Path) -> Option<Space> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let total_bytes = stat.f_blocks.checked_mul(stat.f_frsize)?;
    (total_bytes > 0).then(|| Space { total_bytes, free_bytes: stat.f_bfree.saturating_mul(stat.f_frsize) })
}

impl Volume {
    fn of(mount: &MountInfo) -> Self {
        let pool = match (mount.fs_type.as_str(), mount.mount_source.as_deref()) {
            ("zfs", Some(source)) => Pool::Zfs(source.split('/').next().unwrap_or(source).to_owned()),
            _ => Pool::Device(mount.majmin.clone()),
        };
        Self { pool, mount_point: unescape(&mount.mount_point) }
    }
}

fn is_local(mount: &MountInfo) -> bool {
    if POOL_TYPES.contains(&mount.fs_type.as_str()) {
        return true;
    }
    let source = mount.mount_source.as_deref().unwrap_or_default();
    source.starts_with("/dev/") && !source.starts_with("/dev/loop") && !IMAGE_TYPES.contains(&mount.fs_type.as_str())
}

/// The kernel writes blanks and backslashes of a path as `\` and three octal digits.
fn unescape(path: &Path) -> PathBuf {
    let mut rest = path.as_os_str().as_bytes();
    let mut plain = Vec::with_capacity(rest.len());
    while let Some((&first, after)) = rest.split_first() {
        let octal = if first == b'\\' { after.get(..3).and_then(octal_byte) } else { None };
        plain.push(octal.unwrap_or(first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(plain))
}

fn octal_byte(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = include_str!("../../tests/fixtures/mountinfo.txt");

    fn mount_points(mountinfo: &str) -> Vec<String> {
        volumes(mountinfo).unwrap().iter().map(|volume| volume.mount_point.display().to_string()).collect()
    }

    #[test]
    fn a_file_system_counts_once_and_only_when_it_is_local() {
        let expected = ["/", "/boot/efi", "/data set", "/tank", "/tank/models", "/scratch"];
        assert_eq!(mount_points(MOUNTINFO), expected);
    }

    #[test]
    fn a_container_has_its_root() {
        let container = "\
500 400 0:90 / / rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/b
501 500 0:91 / /proc rw,nosuid - proc proc rw
502 500 0:92 / /mnt rw - nfs4 server:/export rw
";
        assert_eq!(mount_points(container), ["/"]);
    }

    #[test]
    fn data_sets_of_a_pool_share_its_free_space() {
        let volumes = volumes(MOUNTINFO).unwrap();
        let total = total(&volumes, |path| match path.to_str() {
            Some("/") => Some(Space { total_bytes: 1_000, free_bytes: 400 }),
            Some("/tank") => Some(Space { total_bytes: 510, free_bytes: 500 }),
            Some("/tank/models") => Some(Space { total_bytes: 800, free_bytes: 500 }),
            _ => None,
        });
        // The pool holds 10 + 300 and has 500 free.
        assert_eq!(total, Some(DiskSpace { used_bytes: 600 + 310, total_bytes: 1_000 + 810 }));
    }

    #[test]
    fn nothing_that_answers_is_unknown() {
        assert_eq!(total(&volumes(MOUNTINFO).unwrap(), |_| None), None);
        assert_eq!(total(&[], space_at), None);
    }

    #[test]
    fn this_machine_has_a_disk() {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let space = total(&volumes(&mountinfo).unwrap(), space_at).unwrap();
        assert!(space.used_bytes > 0 && space.used_bytes <= space.total_bytes, "{space:?}");
    }
}
