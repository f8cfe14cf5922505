//! Which program listens on a port, as far as Linux tells.

use std::fmt;
use std::fs;

/// A program that has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pid: u32,
    name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// The program that listens on TCP `port`. `None` on other systems, and where it belongs to
/// another user whose open files may not be seen.
pub(super) fn find(port: u16) -> Option<Owner> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let sockets: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find_map(|pid: u32| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            let has_socket = files
                .flatten()
                .filter_map(|file| fs::read_link(file.path()).ok())
                .any(|target| {
                    sockets
                        .iter()
                        .any(|socket| target.as_os_str() == socket.as_str())
                });
            has_socket.then(|| Owner {
                pid,
                name: fs::read_to_string(format!("/proc/{pid}/comm"))
                    .map_or_else(|_| "a program".to_owned(), |name| name.trim().to_owned()),
            })
        })
}

/// The inodes of sockets that listen on `port`, in a table of `/proc/net/tcp`'s form.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let local_port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (local_port(address)? == port && *state == LISTEN).then(|| inode.parse().ok())?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:10DD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7001 1 0 100 0 0 10 0
   1: 0100007F:10DD 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 7002 1 0 100 0 0 10 0
   2: 0100007F:10DE 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7003 1 0 100 0 0 10 0
   garbage\n";
        assert_eq!(listening_inodes(table, 0x10DD), [7001]);
        assert_eq!(listening_inodes(table, 1), [0; 0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_port_is_found_to_be_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = find(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(owner.pid, std::process::id());
        assert!(!owner.name.is_empty());
    }
}
