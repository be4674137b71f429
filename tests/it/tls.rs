//! TLS of the API: the real program with certificates made here, renewed, broken and mismatched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::access::Site;
use crate::support::{ask, until};

const LIMIT: Duration = Duration::from_secs(30);

/// A folder with a certificate for `localhost`, its key, and the authority that signed it.
struct Files(TempDir);

impl Files {
    fn new() -> Result<Self> {
        let files = Self(tempfile::tempdir()?);
        files.renew()?;
        Ok(files)
    }

    /// Everything anew, as by another authority.
    fn renew(&self) -> Result<()> {
        let mut wish = CertificateParams::new(vec![])?;
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(wish, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let wish = CertificateParams::new(vec!["localhost".to_owned()])?;
        let certificate = wish.signed_by(&key, &authority)?;
        std::fs::write(self.at("ca.pem"), authority.pem())?;
        std::fs::write(self.at("key.pem"), key.serialize_pem())?;
        std::fs::write(self.at("cert.pem"), certificate.pem())?;
        Ok(())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn settings(&self) -> String {
        let at = |name: &str| self.at(name).display().to_string();
        format!(
            "listen = \"127.0.0.1:PORT\"\n[api.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
            at("cert.pem"),
            at("key.pem")
        )
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path")
}

fn answers(site: &Site) -> Result<()> {
    until("the daemon answers over TLS", LIMIT, || {
        let (code, _, err) = site.said(&["status", "--alive"], None)?;
        ensure!(code == 0, "{code}: {err}");
        Ok(())
    })
}

#[test]
fn a_daemon_with_a_certificate_is_reached_by_it_and_takes_a_renewed_one() -> Result<()> {
    let files = Files::new()?;
    let site = Site::new(&files.settings())?;
    let _daemon = site.start()?;
    answers(&site)?;
    ensure!(ask("GET", site.port, "/health", "").is_err(), "it speaks without TLS, too");

    let url = format!("https://localhost:{}", site.port);
    let (code, _, err) = site.said(&["status", "--url", &url], None)?;
    ensure!(code == 3 && err.contains("not trusted") && err.contains("--ca-file"), "{code}: {err}");
    let old = files.at("old-ca.pem");
    std::fs::copy(files.at("ca.pem"), &old)?;
    let with_old = ["status", "--own", "--url", &url, "--ca-file", text(&old)?];
    ensure!(site.said(&with_old, None)?.0 == 0);
    let (_, out, _) = site.said(&["doctor"], None)?;
    ensure!(out.lines().any(|line| line.starts_with("certificate\tok\tit is valid")), "{out}");

    // Half written: what is in use stays in use.
    std::fs::write(files.at("cert.pem"), "-----BEGIN CERT")?;
    until("it tells of the broken one", LIMIT, || {
        ensure!(site.log_text()?.contains("the changed certificate is refused"));
        Ok(())
    })?;
    ensure!(site.said(&with_old, None)?.0 == 0);
    // What asks whether it lives knows the one that is shown, whatever stands in the files.
    let alive = |what: &str| -> Result<()> {
        let (code, _, err) = site.said(&["status", "--alive"], None)?;
        ensure!(code == 0, "{what}: {code}: {err}");
        Ok(())
    };
    alive("half written")?;
    let strangers = Files::new()?;
    std::fs::copy(strangers.at("cert.pem"), files.at("cert.pem"))?;
    until("it tells of the key that does not belong to it", LIMIT, || {
        ensure!(site.log_text()?.contains("does not belong to the certificate"));
        Ok(())
    })?;
    alive("another's certificate")?;
    files.renew()?;
    let new = files.at("ca.pem");
    let with_new = ["status", "--own", "--url", &url, "--ca-file", text(&new)?];
    until("it shows the new one", LIMIT, || {
        ensure!(site.said(&with_new, None)?.0 == 0);
        Ok(())
    })?;
    ensure!(site.said(&with_old, None)?.0 == 3);
    answers(&site)
}

#[test]
fn what_cannot_be_used_keeps_it_from_starting_and_says_why() -> Result<()> {
    let (files, other) = (Files::new()?, Files::new()?);
    let site = Site::new(&files.settings())?;
    std::fs::copy(other.at("key.pem"), files.at("key.pem"))?;
    let (code, _, err) = site.said(&["run"], None)?;
    ensure!(code == 2 && err.contains("does not belong to the certificate"), "{code}: {err}");
    let (_, out, _) = site.said(&["doctor"], None)?;
    ensure!(out.lines().any(|line| line.starts_with("certificate\tfail\t")), "{out}");
    std::fs::remove_file(files.at("key.pem"))?;
    let (code, _, err) = site.said(&["run"], None)?;
    ensure!(code == 2 && err.contains("api.tls.key_file") && err.contains("No such file"), "{err}");
    let half = "listen = \"127.0.0.1:PORT\"\n[api.tls]\ncert_file = \"/x\"\n";
    let (code, _, err) = Site::new(half)?.said(&["run"], None)?;
    ensure!(code == 2 && err.contains("set api.tls.key_file too"), "{err}");
    Ok(())
}

#[tokio::test]
async fn whoever_logs_in_gets_a_cookie_that_is_kept_to_encrypted_connections() -> Result<()> {
    let files = Files::new()?;
    let site = Site::new(&files.settings())?;
    let token = site.token("anna", "viewer")?;
    let _daemon = site.start()?;
    answers(&site)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = reqwest::Certificate::from_pem(&std::fs::read(files.at("ca.pem"))?)?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([authority])
        .build()?;
    let url = format!("https://localhost:{}/login", site.port);
    let post = client.post(&url).header("content-type", "application/x-www-form-urlencoded");
    let answer = post.body(format!("token={token}")).send().await?;
    let cookie = answer.headers().get("set-cookie").context("no cookie")?.to_str()?;
    ensure!(cookie.ends_with("; Secure") && cookie.contains("HttpOnly"), "it is not Secure");
    Ok(())
}
