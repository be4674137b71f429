//! Reads call graphs and metrics from comma-separated files.
//!
//! A graph is an adjacency matrix: names in the first row and the first column, a row calls
//! the columns where it has anything but nought. Metrics have three header rows (node,
//! metric, statistic) over a first column of Unix times; empty cells and `NaN` are missing.
//! Faults are told by file, row and column, counted from one as editors do. Nothing is
//! guessed: what cannot be read is refused.

use std::path::Path;

use selfheal_agents::root_cause::series::{CallGraph, Quantity, Recording};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It cannot be opened or read.
    #[error("{file}: {source}")]
    File {
        /// Which file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{file}, row {row}{}: {what}", column.map(|c| format!(", column {c}")).unwrap_or_default())]
    Content {
        /// Which file.
        file: String,
        /// The row, from 1.
        row: u64,
        /// The column, from 1, where one cell is at fault.
        column: Option<usize>,
        /// What is wrong there.
        what: String,
    },
}

/// The rows that name a series: node, metric, statistic.
const HEADER_ROWS: usize = 3;

/// The cells of a file, row by row.
struct Table {
    file: String,
    rows: Vec<Vec<String>>,
    /// The line of each row, from 1; empty lines are no rows.
    lines: Vec<u64>,
}

impl Table {
    fn read(path: &Path) -> Result<Self, Unreadable> {
        let file = path.display().to_string();
        let fault = |error: csv::Error| {
            let row = error.position().map_or(1, csv::Position::line);
            match error.into_kind() {
                csv::ErrorKind::Io(source) => Unreadable::File { file: file.clone(), source },
                csv::ErrorKind::Utf8 { err, .. } => Unreadable::Content {
                    file: file.clone(),
                    row,
                    column: Some(err.field() + 1),
                    what: "it is not UTF-8".to_owned(),
                },
                _ => Unreadable::Content {
                    file: file.clone(),
                    row,
                    column: None,
                    what: "it is not comma-separated".to_owned(),
                },
            }
        };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_path(path)
            .map_err(fault)?;
        let (mut rows, mut lines) = (vec![], vec![]);
        for record in reader.records() {
            let record = record.map_err(fault)?;
            rows.push(record.iter().map(str::to_owned).collect());
            lines.push(record.position().map_or(1, csv::Position::line));
        }
        Ok(Self { file, rows, lines })
    }

    fn fault(&self, row: usize, column: Option<usize>, what: impl Into<String>) -> Unreadable {
        Unreadable::Content {
            file: self.file.clone(),
            row: self.lines.get(row).copied().unwrap_or(1),
            column: column.map(|column| column + 1),
            what: what.into(),
        }
    }

    /// That each row has as many cells as the first.
    fn check_width(&self) -> Result<usize, Unreadable> {
        let width = self.rows.first().map_or(0, Vec::len);
        match self.rows.iter().position(|cells| cells.len() != width) {
            None => Ok(width),
            Some(row) => Err(self.fault(
                row,
                None,
                format!("it has {} cells, the first row has {width}", self.rows[row].len()),
            )),
        }
    }

    /// A cell as a number; empty cells and `NaN` are `NaN`.
    fn number(&self, row: usize, column: usize) -> Result<f64, Unreadable> {
        let cell = self.rows[row][column].trim();
        if cell.is_empty() {
            return Ok(f64::NAN);
        }
        cell.parse().map_err(|_| self.fault(row, Some(column), format!("`{cell}` is not a number")))
    }
}

/// Reads who calls whom.
///
/// # Errors
///
/// The file cannot be read, or a cell is neither empty nor a number.
pub fn read_graph(path: &Path) -> Result<CallGraph, Unreadable> {
    let table = Table::read(path)?;
    let width = table.check_width()?;
    if width < 2 || table.rows.len() < 2 {
        return Err(table.fault(
            0,
            None,
            "it is no matrix of callers (rows) and callees (columns)",
        ));
    }
    let mut calls = vec![];
    for row in 1..table.rows.len() {
        for column in 1..width {
            let weight = table.number(row, column)?;
            if weight.is_finite() && weight != 0.0 {
                calls.push((table.rows[row][0].clone(), table.rows[0][column].clone()));
            }
        }
    }
    let mut graph = CallGraph::new(calls);
    let callees = table.rows[0].iter().skip(1);
    for node in table.rows.iter().skip(1).map(|cells| &cells[0]).chain(callees) {
        graph.add_node(node.clone());
    }
    Ok(graph)
}

/// Reads the series of many nodes, in the order of time.
///
/// # Errors
///
/// The file cannot be read, lacks its header, names a series twice, or has a cell that is
/// neither empty nor a number.
pub fn read_metrics(path: &Path) -> Result<Recording, Unreadable> {
    let table = Table::read(path)?;
    let width = table.check_width()?;
    if width < 2 || table.rows.len() < HEADER_ROWS {
        let what = "it lacks the three header rows: node, metric, statistic";
        return Err(table.fault(0, None, what));
    }
    if let Some(column) = (1..width).find(|c| table.rows[1][*c].trim().parse::<f64>().is_ok()) {
        let what = format!("`{}` is no metric: row 2 names them", table.rows[1][column]);
        return Err(table.fault(1, Some(column), what));
    }
    let rows = rows_by_time(&table)?;
    let mut recording = Recording::new(rows.len());
    for column in 1..width {
        let [node, metric, statistic] = [0, 1, 2].map(|row| table.rows[row][column].clone());
        let quantity = Quantity::new(metric, statistic);
        if recording.get(&node, &quantity).is_some() {
            return Err(table.fault(0, Some(column), format!("{quantity} of `{node}` again")));
        }
        let values = rows.iter().map(|row| table.number(*row, column));
        recording.insert(node, quantity, values.collect::<Result<_, _>>()?);
    }
    Ok(recording)
}

/// The rows with values, earliest first. A row that names the column of times follows the
/// header in files as pandas writes them.
fn rows_by_time(table: &Table) -> Result<Vec<usize>, Unreadable> {
    let mut rows = vec![];
    for row in HEADER_ROWS..table.rows.len() {
        let names_times = row == HEADER_ROWS
            && table.rows[row][0].trim().parse::<f64>().is_err()
            && table.rows[row].iter().skip(1).all(|cell| cell.trim().is_empty());
        if !names_times {
            let time = table.number(row, 0)?;
            if time.is_nan() {
                return Err(table.fault(row, Some(0), "the time is missing"));
            }
            rows.push((time, row));
        }
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    fn fault<T: std::fmt::Debug>(read: Result<T, Unreadable>) -> String {
        let text = read.unwrap_err().to_string();
        text.split_once(", ").map_or(text.clone(), |(_, rest)| rest.to_owned())
    }

    #[test]
    fn a_matrix_is_read_as_row_calls_column() {
        let graph = read_graph(file(",a,\"b, c\"\na,0.0,1.0\n\"b, c\",,0\n").path()).unwrap();
        assert_eq!(graph.callees("a").collect::<Vec<_>>(), ["b, c"]);
        assert!(graph.contains("b, c") && graph.callees("b, c").next().is_none());
    }

    #[test]
    fn metrics_are_read_in_the_order_of_time_with_their_holes() {
        let text = "microservice,a,a\nmetric,latency,requests\nstatistic,p95,Sum\n\
            unix_timestamp,,\n600,2.5,\n300.0,1.5,7\n";
        let recording = read_metrics(file(text).path()).unwrap();
        let latency = recording.get("a", &Quantity::new("latency", "p95")).unwrap();
        assert_eq!(latency, [1.5, 2.5]);
        let requests = recording.get("a", &Quantity::new("requests", "Sum")).unwrap();
        assert!(requests[0] > 6.0 && requests[1].is_nan());
    }

    #[test]
    fn faults_are_told_by_row_and_column() {
        let header = "m,a\nmetric,latency\nstatistic,p95\n";
        let metrics = |rows: &str| fault(read_metrics(file(&format!("{header}{rows}")).path()));
        assert_eq!(metrics("300,1.0\n600,fast\n"), "row 5, column 2: `fast` is not a number");
        assert_eq!(metrics("300,1.0,9\n"), "row 4: it has 3 cells, the first row has 2");
        assert_eq!(metrics("300,1.0\n,2.0\n"), "row 5, column 1: the time is missing");
        let graph = file(",a\na,x\n");
        assert_eq!(fault(read_graph(graph.path())), "row 2, column 2: `x` is not a number");
        let matrix = file(",a,b\na,0,1\nb,0,0\n");
        assert!(
            fault(read_metrics(matrix.path())).starts_with("row 2, column 2: `0` is no metric")
        );
        let again = file("m,a,a\nmetric,latency,latency\nstatistic,p95,p95\n");
        assert_eq!(fault(read_metrics(again.path())), "row 1, column 3: latency p95 of `a` again");
        assert!(fault(read_graph(Path::new("/nonexistent/graph.csv"))).contains("graph.csv"));
    }
}
