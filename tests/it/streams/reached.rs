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
    let port = free_port().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.conf");
    let lines = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor shop 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds shop 500\n",
        folder.path().display(),
        first.port
    );
    std::fs::write(&file, lines).unwrap();
    let mut old = Other::on(first.port).await;
    let replicas: usize = old.ask(&["WAIT", "1", "60000"]).await;
    assert_eq!(replicas, 1);
    let _sentinel = std::process::Command::new("redis-server")
        .arg(&file)
        .arg("--sentinel")
        .stdout(std::process::Stdio::null())
        .spawn()
        .map(Killed)
        .unwrap();
    let dead = format!("redis://127.0.0.1:{}", free_port().unwrap());
    let url = format!("redis://127.0.0.1:{port}");
    // The first is away; the second knows.
    let address = Address::sentinels(&dead, "shop", &[&url]).unwrap();
    let tied = Tied::to(setup(address), Rules::default());
    tied.works_at(&mut old).await;
    drop(first);
    tied.tells(100, 500).await;
    tied.all_carried().await;
    let mut new = Other::on(second.port).await;
    new.has_all().await;
}

struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
