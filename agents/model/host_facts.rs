//! What the host says, before anybody judged it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Share of time in which something waited, percent over ten seconds
/// (`/proc/pressure/*`, avg10 of the line `some`).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Pressure {
    /// Waiting for a processor.
    pub cpu_percent: Option<f64>,
    /// Waiting for memory.
    pub memory_percent: Option<f64>,
    /// Waiting for disks.
    pub io_percent: Option<f64>,
}

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskFacts {
    /// Where it is mounted.
    pub mount: String,
    /// File system type.
    pub file_system: String,
    /// Size in bytes.
    pub total_bytes: u64,
    /// Free for users, in bytes.
    pub available_bytes: u64,
    /// All inodes; `None` where the file system has no fixed number.
    pub total_inodes: Option<u64>,
    /// Free inodes.
    pub free_inodes: Option<u64>,
}

/// What the host says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// Percent of all cores together; `None` on the first sample.
    pub cpu_percent: Option<f64>,
    /// Number of cores.
    pub cores: usize,
    /// Load over one, five and fifteen minutes.
    pub load: Option<[f64; 3]>,
    /// Memory in bytes.
    pub memory_total_bytes: u64,
    /// Not available to new programs, in bytes.
    pub memory_used_bytes: u64,
    /// Swap in bytes.
    pub swap_total_bytes: u64,
    /// Swap used in bytes.
    pub swap_used_bytes: u64,
    /// File systems on real devices.
    pub disks: Vec<DiskFacts>,
    /// Pressure.
    pub pressure: Pressure,
}

/// A TCP connection that a container opened to another address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Where to.
    pub to: SocketAddr,
    /// Whether the other side answered; else it is still waited for.
    pub established: bool,
}
