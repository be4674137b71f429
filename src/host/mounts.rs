//! Which mounted file systems are worth measuring.
//!
//! Invariant: a file system that may hang or that is full by nature never gets through:
//! only kinds that live on a local device do, each device once.

use std::collections::BTreeMap;

/// File systems on local devices that can run full. A list of what is wanted rather than
/// of what is not: an unknown kind may be a network one, and asking it may never return.
const LOCAL: [&str; 15] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "nilfs2",
    "vfat", "exfat", "ntfs3", "fuseblk",
];

/// Files that Docker mounts into every container from its own disk, which nobody calls after them.
const FROM_DOCKER: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where.
    pub(super) point: String,
    /// File system type.
    pub(super) file_system: String,
}

/// Reads `/proc/self/mountinfo` (proc_pid_mountinfo(5)); lines it cannot read are left out.
pub(super) fn local_mounts(mountinfo: &str) -> Vec<Mount> {
    let mut by_device: BTreeMap<&str, (bool, Mount)> = BTreeMap::new();
    for line in mountinfo.lines() {
        let Some((device, is_whole, mount)) = parse(line) else { continue };
        if !LOCAL.contains(&mount.file_system.as_str()) {
            continue;
        }
        let rank = |whole: bool, point: &str| {
            (FROM_DOCKER.contains(&point), !whole, point.len(), point.to_owned())
        };
        // One device is often mounted many times (bind mounts, subvolumes): the mount of
        // its whole tree with the shortest path is the one a person knows it by.
        let better = by_device
            .get(device)
            .is_none_or(|(w, known)| rank(is_whole, &mount.point) < rank(*w, &known.point));
        if better {
            by_device.insert(device, (is_whole, mount));
        }
    }
    let mut mounts: Vec<Mount> = by_device.into_values().map(|(_, mount)| mount).collect();
    mounts.sort_by(|a, b| a.point.cmp(&b.point));
    mounts
}

/// Whether a path lies on a file system that answers without a network: one on a local device, or
/// in memory.
pub(super) fn is_on_this_machine(mountinfo: &str, path: &str) -> bool {
    let holds = |point: &str| {
        let rest = path.strip_prefix(point.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let around = mountinfo.lines().filter_map(|line| {
        let (_, _, mount) = parse(line)?;
        holds(&mount.point).then_some((mount.point.len(), mount.file_system))
    });
    // Of two at the same place the later one is on top.
    let nearest = around.max_by_key(|(length, _)| *length);
    let kind = nearest.map(|(_, file_system)| file_system).unwrap_or_default();
    LOCAL.contains(&kind.as_str()) || ["tmpfs", "overlay"].contains(&kind.as_str())
}

/// Device number, whether the device's root is mounted, and the mount.
fn parse(line: &str) -> Option<(&str, bool, Mount)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let device = left.nth(2)?;
    let is_whole = left.next()? == "/";
    let point = unescape(left.next()?);
    let file_system = right.split(' ').next()?;
    Some((device, is_whole, Mount { point, file_system: file_system.to_owned() }))
}

/// Blanks, tabs, line feeds and backslashes stand as three octal digits.
fn unescape(text: &str) -> String {
    let mut plain = text.to_owned();
    for (escaped, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
    {
        plain = plain.replace(escaped, character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:22 / /dev/shm rw - tmpfs tmpfs rw
25 22 254:0 /var/lib/docker /var/lib/docker rw - ext4 /dev/vda rw
26 22 0:50 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
27 22 0:60 / /mnt/nas rw - nfs4 nas:/export rw
28 22 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro
29 22 254:16 / /mnt/my\\040data rw - xfs /dev/vdb rw
30 22 254:17 /sub /b rw - btrfs /dev/vdc rw
31 22 254:17 / /mnt/longer rw - btrfs /dev/vdc rw
broken line
";

    #[test]
    fn each_local_device_is_listed_once_under_its_own_mount() {
        let points: Vec<String> = local_mounts(MOUNTINFO).into_iter().map(|m| m.point).collect();
        assert_eq!(points, ["/", "/mnt/longer", "/mnt/my data"]);
    }

    #[test]
    fn within_a_container_a_disk_is_called_after_what_somebody_mounted_from_it() {
        let within = "\
1 0 0:50 / / ro - overlay overlay rw
2 1 254:0 /docker/containers/1/resolv.conf /etc/resolv.conf ro - ext4 /dev/vda rw
3 1 254:0 /docker/containers/1/hosts /etc/hosts ro - ext4 /dev/vda rw
4 1 254:0 /docker/volumes/data /var/lib/selfheal rw - ext4 /dev/vda rw
";
        let points: Vec<String> = local_mounts(within).into_iter().map(|m| m.point).collect();
        assert_eq!(points, ["/var/lib/selfheal"]);
    }

    #[test]
    fn a_path_is_where_its_nearest_mount_is() {
        for (path, expected) in [
            ("/var/log/web", true),
            ("/mnt/nas/logs", false),
            ("/mnt/nasty", true),
            ("/mnt/my data/x", true),
            ("/dev/shm", true),
            ("/proc/self", false),
        ] {
            assert_eq!(is_on_this_machine(MOUNTINFO, path), expected, "{path}");
        }
        assert!(!is_on_this_machine("", "/"));
    }

    #[test]
    fn network_and_pseudo_file_systems_are_never_asked() {
        let kinds: Vec<String> =
            local_mounts(MOUNTINFO).into_iter().map(|m| m.file_system).collect();
        assert_eq!(kinds, ["ext4", "btrfs", "xfs"]);
    }
}
