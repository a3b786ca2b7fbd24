//! The network interface over which hosts reach one another: the launcher, MPI and, where one was named, NCCL.
//!
//! Left to themselves, Open MPI's processes try every interface that both hosts have, and wait for ever where two of
//! them have the same address on both, as the bridges of container engines do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use if_addrs::{IfAddr, Interface as Found};
use lcsl_config::HostSlots;

use crate::fault::Fault;

/// An interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its network, as `10.77.0.0/24`.
    pub network: String,
    /// Whether a person has named it; where not, the table of routes has.
    pub named: bool,
}

/// The one called `wanted`, or else that which leads to the `hosts`; none where they are unknown to the resolver, as
/// names in a file of ssh's are.
///
/// # Errors
/// When there is none of that name.
pub fn choose(wanted: &str, hosts: &[HostSlots]) -> Result<Option<Interface>, Fault> {
    let present = if_addrs::get_if_addrs().unwrap_or_default();
    if wanted.is_empty() {
        let ways = hosts.iter().filter_map(|host| local_address(&host.name).ok());
        return Ok(ways.filter(|way| !way.is_loopback()).find_map(|way| of_address(&present, way)));
    }
    let named =
        present.iter().find(|it| it.name == wanted && it.ip().is_ipv4()).and_then(described);
    named.map(|found| Some(Interface { named: true, ..found })).ok_or_else(|| {
        let mut names: Vec<&str> =
            present.iter().filter(|it| it.ip().is_ipv4()).map(|it| it.name.as_str()).collect();
        names.dedup();
        Fault::usage(
            format!("this host has no interface {wanted:?} with an IPv4 address"),
            format!(
                "it has {}; leave --interface out to take the one that leads to the other hosts",
                names.join(", ")
            ),
        )
    })
}

/// The address that this host has on the way to another. Nothing is sent: connecting a socket of datagrams only asks
/// the table of routes. This host itself is behind its loopback, or behind its own address.
fn local_address(host: &str) -> io::Result<IpAddr> {
    let unknown = || io::Error::from(io::ErrorKind::NotFound);
    let there = (host, 22).to_socket_addrs()?.find(SocketAddr::is_ipv4).ok_or_else(unknown)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(there)?;
    Ok(socket.local_addr()?.ip())
}

/// Whether `host` is this one, as far as the resolver knows it.
pub(super) fn is_here(host: &str) -> bool {
    let present = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = (host, 22).to_socket_addrs().into_iter().flatten();
    let is_ours = |address: SocketAddr| {
        address.ip().is_loopback() || present.iter().any(|it| it.ip() == address.ip())
    };
    addresses.into_iter().any(is_ours)
}

fn of_address(present: &[Found], address: IpAddr) -> Option<Interface> {
    present.iter().find(|it| it.ip() == address).and_then(described)
}

fn described(found: &Found) -> Option<Interface> {
    let IfAddr::V4(v4) = &found.addr else { return None };
    let network = Ipv4Addr::from(u32::from(v4.ip) & u32::from(v4.netmask));
    let bits = u32::from(v4.netmask).count_ones();
    let network = format!("{network}/{bits}");
    Some(Interface { name: found.name.clone(), address: v4.ip, network, named: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_found_by_name_and_its_network_is_written_with_bits() {
        let loopback = choose("lo", &[]).unwrap().unwrap();
        assert_eq!(
            (loopback.address, loopback.network.as_str()),
            (Ipv4Addr::LOCALHOST, "127.0.0.0/8")
        );
        assert!(loopback.named);
        let fault = choose("no such", &[]).unwrap_err().to_string();
        assert!(fault.contains("no interface \"no such\"") && fault.contains("it has "), "{fault}");
    }

    #[test]
    fn hosts_that_nobody_knows_leave_the_choice_to_mpi() {
        let hosts = [HostSlots { name: "no-such-host.invalid".to_owned(), slots: 1 }];
        assert_eq!(choose("", &hosts).unwrap(), None);
        let here = [HostSlots { name: "127.0.0.1".to_owned(), slots: 1 }];
        assert_eq!(choose("", &here).unwrap(), None, "only this host");
        assert!(is_here("127.0.0.1") && !is_here("no-such-host.invalid") && !is_here("192.0.2.1"));
    }
}
