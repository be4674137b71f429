//! TOML, by the spans that its parser keeps.

use toml_edit::{Document, Item, TableLike, Value};

use super::search::{Fault, Kind, Search, Trail};

pub(super) fn walk(text: &str, search: &mut Search<'_>) -> Result<(), Fault> {
    let document = Document::parse(text).map_err(|error| Fault {
        at: error.span().map_or(0, |span| span.start),
        why: "it is not valid",
    })?;
    let top = search.top();
    table(document.as_table(), search, top);
    Ok(())
}

/// Dotted names and headers may open one table in several places, and the parser has
/// refused names that stand twice: so nothing here counts as doubled.
fn table<'k>(table: &dyn TableLike, search: &mut Search<'k>, trail: Trail<'k>) {
    for (name, member) in table.iter() {
        item(member, search, trail.below(name));
    }
}

fn item<'k>(item: &Item, search: &mut Search<'k>, trail: Trail<'k>) {
    match item {
        Item::None => {}
        Item::Value(one) => value(one, search, trail),
        Item::Table(members) => {
            search.see(trail, item.span().unwrap_or_default(), Kind::Group);
            table(members, search, trail);
        }
        Item::ArrayOfTables(tables) => {
            search.see(trail, item.span().unwrap_or_default(), Kind::Group);
            for (index, members) in tables.iter().enumerate() {
                table(members, search, trail.below(&index.to_string()));
            }
        }
    }
}

fn value<'k>(value: &Value, search: &mut Search<'k>, trail: Trail<'k>) {
    let span = value.span().unwrap_or_default();
    match value {
        Value::Integer(_) | Value::Float(_) => search.see(trail, span, Kind::Scalar),
        Value::InlineTable(members) => {
            search.see(trail, span, Kind::Group);
            table(members, search, trail);
        }
        Value::Array(elements) => {
            search.see(trail, span, Kind::Group);
            for (index, element) in elements.iter().enumerate() {
                self::value(element, search, trail.below(&index.to_string()));
            }
        }
        _ => search.see(trail, span, Kind::Other),
    }
}
