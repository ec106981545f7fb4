//! The table that is printed.

use std::collections::BTreeMap;

/// The values of one measurement of a server, in the order in which they are printed. The names of figures end in
/// their units.
pub(crate) type Values = Vec<(&'static str, f64)>;

/// A row of the table, and all values that were measured for it: those of Coterie, and those of the peer.
#[derive(Default)]
struct Row {
    own: Vec<f64>,
    peer: Vec<f64>,
}

/// The results, in the order of the measurements.
#[derive(Default)]
pub(crate) struct Table {
    order: Vec<(String, &'static str)>,
    rows: BTreeMap<(String, &'static str), Row>,
}

impl Table {
    /// Adds the values of one run.
    pub(crate) fn add(&mut self, measurement: &str, is_peer: bool, values: Values) {
        for (figure, value) in values {
            let key = (measurement.to_owned(), figure);
            if !self.rows.contains_key(&key) {
                self.order.push(key.clone());
            }
            let row = self.rows.entry(key).or_default();
            if is_peer { row.peer.push(value) } else { row.own.push(value) }
        }
    }

    /// Prints the medians of all runs, as Markdown. With a peer, each row has the ratio of Coterie's value to the
    /// peer's.
    pub(crate) fn print(&mut self, has_peer: bool) {
        let mut lines = vec![vec!["".to_owned(), "".to_owned(), "Coterie".to_owned()]];
        if has_peer {
            lines[0].extend(["peer".to_owned(), "ratio".to_owned()]);
        }
        let mut last = "";
        for key in &self.order {
            let Some(row) = self.rows.get_mut(key) else { continue };
            let (own, peer) = (median(&mut row.own), median(&mut row.peer));
            let (measurement, figure) = key;
            let name = if last == measurement { "" } else { measurement };
            last = measurement;
            let mut line = vec![name.to_owned(), (*figure).to_owned(), own.map(number).unwrap_or_default()];
            if has_peer {
                line.push(peer.map(number).unwrap_or_default());
                line.push(own.zip(peer).map(|(own, peer)| format!("{:.2}", own / peer)).unwrap_or_default());
            }
            lines.push(line);
        }
        let widths: Vec<usize> = (0..lines[0].len())
            .map(|column| {
                lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default().max(3)
            })
            .collect();
        let pad = |line: &Vec<String>| {
            let cells = line.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, &width))| match column {
                0 | 1 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
        };
        let rule = widths.iter().enumerate().map(|(column, &width)| match column {
            0 | 1 => "-".repeat(width + 2),
            _ => "-".repeat(width + 1) + ":",
        });
        println!("{}", pad(&lines[0]));
        println!("|{}|", rule.collect::<Vec<_>>().join("|"));
        for line in &lines[1..] {
            println!("{}", pad(line));
        }
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (lower, upper) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((lower + upper) / 2.0)
}

/// Writes a number with three digits that count, and large ones as whole numbers.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0..1.0 => 3,
        1.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}
