//! Which clients of Redis only hold their connection.

use std::collections::BTreeMap;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use selfheal_agents::model::{RedisClient, RedisFacts};

/// So many are told at most.
const MOST: usize = 500;
/// Asked for only from this share of `maxclients` on: the list is long where there are many.
const FEW_LEFT: f64 = 0.75;

pub(super) async fn read(
    facts: &mut RedisFacts,
    connection: &mut MultiplexedConnection,
) -> Result<(), RedisError> {
    let few_left = facts
        .clients
        .zip(facts.max_clients)
        .is_some_and(|(used, most)| f64::from(used) >= FEW_LEFT * f64::from(most));
    if few_left {
        let list: String = redis::cmd("CLIENT")
            .arg("LIST")
            .arg("TYPE")
            .arg("normal")
            .query_async(connection)
            .await?;
        facts.idle_clients = idle(&list);
    }
    Ok(())
}

/// The clients of `CLIENT LIST` that neither wait for an answer nor are in a transaction, longest
/// idle first. The flags are Redis' own (manual, "CLIENT LIST"): `N` is no flag at all.
fn idle(list: &str) -> Vec<RedisClient> {
    let mut idle: Vec<RedisClient> = list.lines().filter_map(client).collect();
    idle.sort_by_key(|client| std::cmp::Reverse(client.idle_secs));
    idle.truncate(MOST);
    idle
}

fn client(line: &str) -> Option<RedisClient> {
    let fields: BTreeMap<&str, &str> =
        line.split(' ').filter_map(|field| field.split_once('=')).collect();
    let plain = fields.get("flags") == Some(&"N")
        && ["sub", "psub", "ssub", "watch"]
            .iter()
            .all(|field| fields.get(field).is_none_or(|count| *count == "0"))
        && fields.get("multi").is_none_or(|count| *count == "-1");
    let address = (*fields.get("addr")?).to_owned();
    let (id, idle_secs) = (fields.get("id")?.parse().ok()?, fields.get("idle")?.parse().ok()?);
    plain.then_some(RedisClient { id, address, idle_secs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_listens_or_is_in_a_transaction_is_not_idle() {
        let line = |id: u32, idle: u32, flags: &str, more: &str| {
            format!(
                "id={id} addr=10.0.0.3:4{id} name= age=900 idle={idle} flags={flags} db=0 {more} cmd=get\n"
            )
        };
        let calm = "sub=0 psub=0 ssub=0 multi=-1 watch=0";
        let list = [
            line(1, 30, "N", calm),
            line(2, 900, "N", calm),
            line(3, 900, "b", calm),
            line(4, 900, "P", "sub=1 psub=0 multi=-1"),
            line(5, 900, "N", "sub=0 psub=0 multi=2"),
            line(6, 900, "N", "sub=0 psub=0 multi=-1 watch=1"),
            "nothing of the kind\n".to_owned(),
        ];
        let ids: Vec<u64> = idle(&list.concat()).into_iter().map(|client| client.id).collect();
        assert_eq!(ids, [2, 1]);
    }
}
