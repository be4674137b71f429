//! How Redis is reached: with a password, and by Sentinels.

use crate::support::free_port;

use super::*;

#[tokio::test]
async fn a_password_is_shown_and_without_it_jobs_wait() {
    let Some(server) = Server::redis(&["--requirepass", "s3cret pass"]) else { return };
    let url = format!("redis://:s3cret%20pass@127.0.0.1:{}", server.port);
    let shut = Address::server(&format!("redis://127.0.0.1:{}", server.port)).unwrap();
    let why = shut.ping().await.unwrap_err();
    assert!(why.contains("NOAUTH") || why.to_lowercase().contains("auth"), "{why}");
    let open = Address::server(&url).unwrap();
    assert_eq!(open.ping().await, Ok(()));
    let tied = Tied::to(setup(open), Rules::default());
    let mut other = Other::at(&url).await;
    other.job("j", "unfreeze", &json!({})).await;
    assert_eq!(other.result("j").await.0, "success");
    drop(tied);
}

#[tokio::test]
async fn sentinels_lead_to_the_server_that_is_in_charge_also_after_it_died() {
    let Some(first) = Server::redis(&COPIED_AT_ONCE) else { return };
    let follows = ["--replicaof".to_owned(), format!("127.0.0.1 {}", first.port)];
    let second = Server::redis(&[&follows[0], &follows[1]]).unwrap();
    let mut old = Other::on(first.port).await;
    let replicas: usize = old.ask(&["WAIT", "1", "60000"]).await;
    assert_eq!(replicas, 1);
    let sentinel = Sentinel::of(first.port, "");
    let dead = format!("redis://127.0.0.1:{}", free_port().unwrap());
    // The first is away; the second knows.
    let address = Address::sentinels(&dead, "shop", &[&sentinel.url], None).unwrap();
    let tied = Tied::to(setup(address), Rules::default());
    tied.works_at(&mut old).await;
    drop(first);
    tied.tells(100, 500).await;
    tied.all_carried().await;
    let mut new = Other::on(second.port).await;
    new.has_all().await;
}

#[tokio::test]
async fn sentinels_that_ask_for_a_password_get_their_own_and_the_server_its_own() {
    let Some(server) = Server::redis(&["--requirepass", "of the server"]) else { return };
    let users = "requirepass s3cret\nuser heal on >0f-heal +@all\n";
    let auth = "sentinel auth-pass shop \"of the server\"\n";
    let sentinel = Sentinel::of(server.port, &format!("{auth}{users}"));
    let url = sentinel.url.replace("//", "//:of%20the%20server@");
    let by = |login| Address::sentinels(&url, "shop", &[], login).unwrap();
    let patient = async {
        while let Err(why) = by(Some(("", "s3cret"))).ping().await {
            assert!(!why.contains("s3cret"), "{why}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, patient).await.expect("they let Selfheal in");
    assert_eq!(by(Some(("heal", "0f-heal"))).ping().await, Ok(()));
    for login in [None, Some(("", "of the server")), Some(("heal", "s3cret"))] {
        let why = by(login).ping().await.unwrap_err();
        assert!(why.to_lowercase().contains("auth"), "{why}");
    }
}

/// A real one, that knows a server as `shop`.
struct Sentinel {
    url: String,
    process: std::process::Child,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    fn of(server: u16, settings: &str) -> Self {
        let port = free_port().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        let lines = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor shop 127.0.0.1 {server} 1\n\
             sentinel down-after-milliseconds shop 500\n{settings}",
            folder.path().display(),
        );
        std::fs::write(&file, lines).unwrap();
        let mut command = std::process::Command::new("redis-server");
        command.arg(&file).arg("--sentinel").stdout(std::process::Stdio::null());
        let process = command.spawn().unwrap();
        Self { url: format!("redis://127.0.0.1:{port}"), process, _folder: folder }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
