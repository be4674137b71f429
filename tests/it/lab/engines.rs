//! A Selfheal that looks after three engines, one over TLS and one through SSH, as of other hosts.
//!
//! All are views of one real engine, each narrowed to its own stack, so that what is changed
//! through which of them is known.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::daemon::Selfheal;
use super::engine;
use super::faults::CRASH;
use super::relay::Relay;
use super::stack::Stack;
use crate::ssh::Sshd;
use crate::support::until;

const LIMIT: Duration = Duration::from_secs(90);

/// An engine that is reached over TLS, by whoever its authority lets in.
struct Far {
    folder: PathBuf,
    port: u16,
    there: watch::Sender<bool>,
    relay: Relay,
    /// What forwards ends with it.
    _runtime: Runtime,
}

impl Far {
    fn of(stack: &Stack) -> Result<Self> {
        let (folder, relay) = (stack.folder("far")?, Relay::before(stack)?);
        let acceptor = TlsAcceptor::from(Arc::new(certified(&folder)?));
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let socket = relay.address().trim_start_matches("unix://").to_owned();
        let (there, is_there) = watch::channel(true);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it was just bound");
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                let mut is_there = is_there.clone();
                tokio::spawn(async move {
                    let pass_on = async {
                        let mut client = acceptor.accept(client).await?;
                        let mut engine = tokio::net::UnixStream::connect(socket).await?;
                        tokio::io::copy_bidirectional(&mut client, &mut engine).await
                    };
                    tokio::select! {
                        _ = is_there.wait_for(|there| !there) => {}
                        ended = pass_on => drop(ended),
                    }
                });
            }
        });
        Ok(Self { folder, port, there, relay, _runtime: runtime })
    }

    fn settings(&self, name: &str, authority: &str) -> String {
        let at = |file: &str| self.folder.join(file).display().to_string();
        format!(
            "[[docker.engine]]\nname = \"{name}\"\nhost = \"tcp://localhost:{}\"\n\
             ca_file = \"{}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
            self.port,
            at(authority),
            at("client.pem"),
            at("client-key.pem")
        )
    }
}

/// Writes certificates for both sides and answers what the engine's side works with.
fn certified(folder: &Path) -> Result<ServerConfig> {
    let authority = |file: &str| -> Result<_> {
        let mut wish = CertificateParams::new(vec![])?;
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(wish, KeyPair::generate()?)?;
        std::fs::write(folder.join(file), authority.pem())?;
        Ok(authority)
    };
    let ours = authority("ca.pem")?;
    authority("stranger.pem")?;
    for (name, who) in [("server", "localhost"), ("client", "selfheal")] {
        let key = KeyPair::generate()?;
        let made = CertificateParams::new(vec![who.to_owned()])?.signed_by(&key, &ours)?;
        std::fs::write(folder.join(format!("{name}.pem")), made.pem())?;
        std::fs::write(folder.join(format!("{name}-key.pem")), key.serialize_pem())?;
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let allowed = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem"))?];
    let key = PrivateKeyDer::from_pem_file(folder.join("server-key.pem"))?;
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(allowed.build()?)
        .with_single_cert(chain, key)?)
}

fn blind(selfheal: &Selfheal) -> Result<String> {
    Ok(selfheal.get("/api/monitoring/status")?["blind"].to_string())
}

#[test]
fn containers_of_other_engines_are_healed_there_and_the_engines_absence_stops_nothing_here() {
    if !engine::answers("containers of other engines are healed there") {
        return;
    }
    healed_on_three().expect("three engines");
}

fn healed_on_three() -> Result<()> {
    let Some(server) = Sshd::start()? else { return Ok(()) };
    let (near, far, third) = (CRASH.staged()?, CRASH.staged()?, CRASH.staged()?);
    let (nas, pi) = (Far::of(&far)?, Relay::before(&third)?);
    // The second is the same one, to somebody who trusts another authority.
    let settings = nas.settings("nas", "ca.pem") + &nas.settings("trap", "stranger.pem");
    let socket = pi.address().trim_start_matches("unix://").to_owned();
    let by_ssh = server.settings("pi", Path::new(&socket))?;
    let selfheal = Selfheal::watch(&near, &(settings + &by_ssh))?;
    let works = |stack: &Stack, what: &str| {
        until(what, LIMIT, || CRASH.judge(stack)).with_context(|| selfheal.last_words())
    };
    let strange = blind(&selfheal)?;
    ensure!(strange.contains("engine `trap`") && !strange.contains("engine `nas`"), "{strange}");

    (CRASH.inject)(&far)?;
    (CRASH.inject)(&third)?;
    works(&far, "the far one is healed")?;
    works(&third, "the one behind SSH is healed")?;
    for (stack, changes) in [(&far, nas.relay.changes()), (&third, pi.changes())] {
        let theirs = changes.iter().filter(|c| c.object == stack.name("app"));
        ensure!(theirs.count() > 0 && changes.iter().all(|c| c.ours), "{changes:?}");
    }
    ensure!(selfheal.changes().is_empty(), "the near one was touched: {:?}", selfheal.changes());
    let incidents = selfheal.incidents()?;
    for id in [format!("nas/{}", far.name("app")), format!("pi/{}", third.name("app"))] {
        let id = format!("container:{id}");
        ensure!(incidents.iter().any(|i| i["target"] == id.as_str()), "no incident {id}");
    }

    nas.there.send_replace(false);
    until("the engine is missed", LIMIT, || {
        let blind = blind(&selfheal)?;
        ensure!(blind.contains("engine `nas`"), "{blind}");
        Ok(())
    })?;
    let before = nas.relay.changes().len();
    (CRASH.inject)(&far)?;
    (CRASH.inject)(&near)?;
    works(&near, "the near one is healed meanwhile")?;
    ensure!(CRASH.judge(&far).is_err() && nas.relay.changes().len() == before, "who did that?");

    nas.there.send_replace(true);
    works(&far, "the far one is healed once its engine is back")?;
    until("the engine is seen again", LIMIT, || {
        let blind = blind(&selfheal)?;
        ensure!(!blind.contains("engine `nas`"), "{blind}");
        Ok(())
    })
}
