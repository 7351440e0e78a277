//! The server's side of SOCKS5 (RFC 1928), as far as proxies need it: CONNECT, with a user's name (RFC 1929) or none.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Replies of RFC 1928.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What follows is the connection.
    Succeeded = 0,
    /// Something is wrong that the client is not to blame for.
    Failure = 1,
    /// Nobody knows where that is.
    HostUnreachable = 4,
    /// The client asks for what there is not.
    NotSupported = 7,
}

impl Reply {
    /// As it is written; the bound address is never told.
    pub fn encoded(self) -> [u8; 10] {
        [5, self as u8, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

/// Where a client wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To an address.
    Address(SocketAddr),
    /// To a name, in lower case, and a port.
    Name(String, u16),
}

/// Whether clients may say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// They may not.
    Nobody,
    /// They may; the password is read and means nothing.
    Named,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where to.
    pub wanted: Wanted,
    /// As whom.
    pub user: Option<String>,
}

/// Reads greeting and request, and answers the greeting. The inner error is the client's fault, in words. Has no limit of time.
///
/// # Errors
/// The client breaks off.
pub async fn request<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    users: Users,
) -> io::Result<Result<Request, &'static str>> {
    let [version, count] = read(stream).await?;
    if version != 5 {
        return Ok(Err("the client does not speak version 5"));
    }
    let mut methods = vec![0; usize::from(count)];
    stream.read_exact(&mut methods).await?;
    let user = if users == Users::Named && methods.contains(&2) {
        stream.write_all(&[5, 2]).await?;
        match name(stream).await? {
            Ok(user) => Some(user),
            Err(wrong) => return Ok(Err(wrong)),
        }
    } else if methods.contains(&0) {
        stream.write_all(&[5, 0]).await?;
        None
    } else {
        return Ok(Err("the client insists on authentication"));
    };
    let [version, command, _, kind] = read(stream).await?;
    if version != 5 || command != 1 {
        return Ok(Err("only CONNECT is supported"));
    }
    let host = match kind {
        1 => Ok(IpAddr::V4(Ipv4Addr::from(read::<4, _>(stream).await?))),
        4 => Ok(IpAddr::V6(Ipv6Addr::from(read::<16, _>(stream).await?))),
        3 => Err(text(stream).await?),
        _ => return Ok(Err("the kind of address is unknown")),
    };
    let port = u16::from_be_bytes(read(stream).await?);
    let wanted = match host {
        Ok(address) => Wanted::Address(SocketAddr::new(address, port)),
        Err(name) => match String::from_utf8(name) {
            Ok(name) => Wanted::Name(name.to_ascii_lowercase(), port),
            Err(_) => return Ok(Err("the name is not text")),
        },
    };
    Ok(Ok(Request { wanted, user }))
}

/// Name and password; any password will do.
async fn name<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<Result<String, &'static str>> {
    let [version] = read(stream).await?;
    if version != 1 {
        return Ok(Err("the client does not speak version 1 of names and passwords"));
    }
    let name = text(stream).await?;
    text(stream).await?;
    stream.write_all(&[1, 0]).await?;
    Ok(String::from_utf8(name).map_err(|_| "the user's name is not text"))
}

/// Its length in a byte, then so many.
async fn text<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let [length] = read(stream).await?;
    let mut text = vec![0; usize::from(length)];
    stream.read_exact(&mut text).await?;
    Ok(text)
}

async fn read<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = io::Result<Result<Request, &'static str>>;

    /// What the server makes of these bytes, and what it said so far.
    async fn asked(bytes: &[u8], users: Users) -> (Outcome, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(1000);
        ours.write_all(bytes).await.unwrap();
        ours.shutdown().await.unwrap();
        let outcome = request(&mut theirs, users).await;
        drop(theirs);
        let mut said = Vec::new();
        ours.read_to_end(&mut said).await.unwrap();
        (outcome, said)
    }

    async fn wanted(bytes: &[u8]) -> Wanted {
        let (outcome, said) = asked(bytes, Users::Nobody).await;
        assert_eq!(said, [5, 0]);
        outcome.unwrap().unwrap().wanted
    }

    #[tokio::test]
    async fn all_three_kinds_of_address_are_read() {
        let v4 = wanted(&[5, 2, 2, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 80]).await;
        assert_eq!(v4, Wanted::Address("10.0.0.1:80".parse().unwrap()));
        let mut v6 = vec![5, 1, 0, 5, 1, 0, 4];
        v6.extend(Ipv6Addr::LOCALHOST.octets());
        v6.extend([0x1f, 0x90]);
        assert_eq!(wanted(&v6).await, Wanted::Address("[::1]:8080".parse().unwrap()));
        let named = wanted(&[5, 1, 0, 5, 1, 0, 3, 3, b'W', b'e', b'b', 0, 80]).await;
        assert_eq!(named, Wanted::Name("web".to_owned(), 80));
    }

    #[tokio::test]
    async fn a_user_is_heard_only_where_users_may_say_who_they_are() {
        let mut bytes = vec![5, 2, 0, 2, 1, 3, b'p', b'o', b'd', 1, b'x'];
        bytes.extend([5, 1, 0, 1, 10, 0, 0, 1, 0, 80]);
        let (outcome, said) = asked(&bytes, Users::Named).await;
        assert_eq!(outcome.unwrap().unwrap().user.as_deref(), Some("pod"));
        assert_eq!(said, [5, 2, 1, 0]);
        assert!(asked(&bytes, Users::Nobody).await.0.unwrap().is_err(), "the name is not part of the request");
    }

    #[tokio::test]
    async fn whoever_asks_for_more_is_refused_and_whoever_breaks_off_is_left() {
        for wrong in [&[4, 1, 0][..], &[5, 1, 2], &[5, 1, 0, 5, 2, 0, 1], &[5, 1, 0, 5, 1, 0, 9]] {
            assert!(asked(wrong, Users::Nobody).await.0.unwrap().is_err(), "{wrong:?}");
        }
        for cut in [&[][..], &[5], &[5, 3, 0], &[5, 1, 0, 5, 1], &[5, 1, 0, 5, 1, 0, 1, 10], &[5, 1, 2, 1, 200, 7]] {
            assert!(asked(cut, Users::Named).await.0.is_err(), "{cut:?}");
        }
    }
}
