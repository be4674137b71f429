use super::*;

/// A certificate for `localhost` and its key, as PEM.
fn made() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let wish = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (wish.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn files(certificate: &str, key: &str) -> (tempfile::TempDir, TlsFiles) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let files = TlsFiles { certificate: at("cert.pem"), key: at("key.pem") };
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
    (folder, files)
}

#[test]
fn what_cannot_be_used_is_refused_with_the_setting_the_file_and_the_remedy() {
    let ((certificate, key), (_, other)) = (made(), made());
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (certificate, key, says) in [
        ("", key.as_str(), "cert_file"),
        ("no pem at all", &key, "BEGIN CERTIFICATE"),
        (key.as_str(), &key, "it holds no certificate"),
        (&certificate, "", "key_file"),
        (&certificate, encrypted, "without a passphrase"),
        (&certificate, &other, "does not belong to the certificate"),
    ] {
        let (_folder, files) = files(certificate, key);
        let error = files.identity().unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(".pem\""), "{says}: {error}");
    }
    let (folder, files) = files(&certificate, &key);
    assert!(files.identity().is_ok());
    drop(folder);
    let error = files.identity().unwrap_err().to_string();
    assert!(error.contains("cannot be read: No such file"), "{error}");
}

#[test]
fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let (certificate, key) = made();
    let (folder, files) = files(&certificate, &key);
    let mut tls = Tls::of(files.clone(), folder.path()).unwrap();
    let now = tls.config.subscribe();
    let first = Arc::clone(&now.borrow());
    tls.look();
    assert!(Arc::ptr_eq(&first, &now.borrow()), "nothing changed");
    std::fs::write(&files.certificate, "half of a cert").unwrap();
    tls.look();
    assert!(Arc::ptr_eq(&first, &now.borrow()), "the old one stays");
    let (certificate, key) = made();
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
    tls.look();
    assert!(!Arc::ptr_eq(&first, &now.borrow()));
    assert_eq!(
        shown(folder.path()),
        Some(certificates(&files.certificate).unwrap().swap_remove(0))
    );
}

#[tokio::test]
async fn whoever_opens_many_connections_and_says_nothing_shuts_out_nobody_else() {
    use axum::serve::Listener as _;
    use tokio::net::TcpStream;

    let (certificate, key) = made();
    let (folder, files) = files(&certificate, &key);
    let tls = Tls::of(files.clone(), folder.path()).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let mut listener = tls.over(tcp);
    let accepting = tokio::spawn(async move { listener.accept().await.1 });
    let mut silent = vec![];
    for _ in 0..300 {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificates(&files.certificate).unwrap().swap_remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let other = other.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let shaken = connector.connect("localhost".try_into().unwrap(), other);
    // Silent ones are given up after ten seconds: it is let in long before.
    let shaken = tokio::time::timeout(Duration::from_secs(8), shaken).await;
    shaken.expect("it waits for those that say nothing").unwrap();
    assert_eq!(accepting.await.unwrap().ip().to_string(), "127.0.0.2");
}

#[tokio::test(start_paused = true)]
async fn what_follows_the_files_ends_with_everything_else() {
    let (certificate, key) = made();
    let (folder, files) = files(&certificate, &key);
    let cancel = CancellationToken::new();
    let upkeep = Upkeep::new(cancel.clone());
    Tls::of(files, folder.path()).unwrap().keep(&upkeep, &cancel);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let parts = upkeep.tracker();
    parts.close();
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(2), parts.wait()).await.expect("it ends");
}
