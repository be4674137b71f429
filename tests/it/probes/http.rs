use std::collections::BTreeMap;
use std::sync::Arc;

use selfheal::probes::Probes;
use selfheal_agents::model::{Endpoint, Facts, HttpEndpoint, HttpFacts};
use selfheal_agents::ports::Prober;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{LIMIT, SHORT};

fn endpoint(url: String) -> HttpEndpoint {
    HttpEndpoint { url, expected_status: vec![], body_contains: None, headers: BTreeMap::new() }
}

async fn ask(endpoint: HttpEndpoint, limit: std::time::Duration) -> HttpFacts {
    match Probes::new().probe(&Endpoint::Http(endpoint), limit).await {
        Facts::Http(facts) => facts,
        other => panic!("facts of another kind: {other:?}"),
    }
}

/// A server that answers every request with these bytes; its address.
async fn serve(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            tokio::spawn(async move {
                read_head(&mut peer).await;
                let _ = peer.write_all(answer.as_bytes()).await;
                let _ = peer.shutdown().await;
            });
        }
    });
    format!("http://{address}/health")
}

async fn read_head(peer: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match peer.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn an_answer_is_right_by_its_status_and_its_body() {
    let url = serve("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nall is well\n").await;
    let right = HttpEndpoint { body_contains: Some("is well".into()), ..endpoint(url.clone()) };
    let facts = ask(right, LIMIT).await;
    assert!(facts.ok && facts.latency_ms.is_some(), "{facts:?}");
    assert_eq!((facts.status, facts.error), (Some(200), None));
    let wrong = HttpEndpoint { body_contains: Some("is ill".into()), ..endpoint(url.clone()) };
    let facts = ask(wrong, LIMIT).await;
    assert_eq!((facts.ok, facts.error.as_deref()), (false, Some("body")));
    let strict = HttpEndpoint { expected_status: vec![204], ..endpoint(url) };
    assert_eq!(ask(strict, LIMIT).await.error.as_deref(), Some("200"));
}

#[tokio::test]
async fn a_failing_server_is_told_by_its_code_and_a_redirect_is_not_followed() {
    let failing = serve("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    let facts = ask(endpoint(failing), LIMIT).await;
    assert_eq!((facts.ok, facts.status, facts.error.as_deref()), (false, Some(503), Some("503")));
    let away =
        serve("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    let facts = ask(endpoint(away.await), LIMIT).await;
    assert_eq!((facts.ok, facts.status), (true, Some(302)), "{facts:?}");
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let facts = ask(endpoint(url), SHORT).await;
    assert!(facts.timed_out && !facts.ok, "{facts:?}");
    assert_eq!(facts.error.as_deref(), Some("timeout"));
}

#[tokio::test]
async fn a_body_that_never_ends_is_read_only_so_far() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        read_head(&mut peer).await;
        peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while peer.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let facts = ask(endpoint(url), LIMIT).await;
    assert!(facts.ok, "{facts:?}");
}

#[tokio::test]
async fn nobody_listening_and_no_such_name_are_told_apart() {
    let port = crate::support::free_port().unwrap();
    let refused = ask(endpoint(format!("http://127.0.0.1:{port}/")), LIMIT).await;
    assert_eq!(refused.error.as_deref(), Some("refused"));
    let unknown = ask(endpoint("http://no-such-host.invalid/".to_owned()), LIMIT).await;
    assert_eq!(unknown.error.as_deref(), Some("dns"));
}

#[tokio::test]
async fn the_request_carries_the_declared_headers_and_says_who_asks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let seen = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let head = read_head(&mut peer).await;
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        head
    });
    let headers = BTreeMap::from([("x-probe".to_owned(), "yes".to_owned())]);
    assert!(ask(HttpEndpoint { headers, ..endpoint(url) }, LIMIT).await.ok);
    let head = seen.await.unwrap();
    assert!(head.contains("x-probe: yes"), "{head}");
    assert!(head.contains(concat!("user-agent: selfheal/", env!("CARGO_PKG_VERSION"))), "{head}");
}

/// A TLS server with a certificate of its own making, valid in 2001 only; its address.
async fn serve_expired() -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wish = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    wish.not_before = rcgen::date_time_ymd(2001, 1, 1);
    wish.not_after = rcgen::date_time_ymd(2001, 12, 31);
    let certificate = wish.self_signed(&key).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((peer, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = acceptor.accept(peer).await;
            });
        }
    });
    format!("https://localhost:{}/", address.port())
}

#[tokio::test]
async fn an_expired_self_signed_certificate_is_refused_and_its_end_is_told() {
    let facts = ask(endpoint(serve_expired().await), LIMIT).await;
    assert_eq!((facts.ok, facts.error.as_deref()), (false, Some("tls")), "{facts:?}");
    let end = facts.certificate_expires_at.unwrap();
    assert_eq!(end.to_rfc3339(), "2001-12-31T00:00:00+00:00");
}

#[tokio::test]
async fn a_server_without_tls_behind_an_https_address_is_a_tls_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let _ = peer.read_u8().await;
            let _ = peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let facts = ask(endpoint(url), LIMIT).await;
    assert_eq!((facts.error.as_deref(), facts.certificate_expires_at), (Some("tls"), None));
}
