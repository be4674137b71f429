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
    let (_folder, files) = files(&certificate, &key);
    let mut tls = Tls::of(files.clone()).unwrap();
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
}
