//! The rows, as a table for people and as JSON for programs.

use std::io::{Result, Write};

use serde::Serialize;

/// One figure and what it was measured with. A column that does not apply is null.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) driver: String,
    pub(crate) durability: String,
    pub(crate) operation: &'static str,
    pub(crate) batch: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) depth: usize,
    pub(crate) producers: usize,
    pub(crate) items_per_second: Option<f64>,
    pub(crate) baseline: Option<String>,
    pub(crate) baseline_items_per_second: Option<f64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) bytes_per_item: Option<f64>,
    pub(crate) operations_per_sync: Option<f64>,
    /// Rows that the engine was given for an item. Shown in the table only.
    #[serde(skip)]
    pub(crate) writes_per_item: Option<f64>,
    /// The ratio to the replay in which the adapter gathers neighbours. Shown in the table only.
    #[serde(skip)]
    pub(crate) gathered_ratio: Option<f64>,
    /// The ratio in processor time, which other programs disturb less. Shown in the table only.
    #[serde(skip)]
    pub(crate) cpu_ratio: Option<f64>,
    /// Microseconds of all threads. Shown in the table only.
    #[serde(skip)]
    pub(crate) cpu_per_item: Option<f64>,
}

/// The figures of one driver.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) rows: Vec<Row>,
    /// What is told beside them.
    pub(crate) lines: Vec<String>,
    /// What could not be measured, and why.
    pub(crate) failures: Vec<String>,
}

impl Measured {
    /// What came of measuring something; `None` where it failed, which is kept.
    pub(crate) fn keep<T, E: ToString>(
        &mut self,
        driver: &str,
        what: &str,
        came: std::result::Result<T, E>,
    ) -> Option<T> {
        let failure = |error: E| format!("{driver}: {what}: {}", error.to_string());
        came.map_err(|error| self.failures.push(failure(error)))
            .ok()
    }

    /// Writes the table of its driver, and below it what else there is to tell.
    pub(crate) fn write(&self, out: &mut impl Write) -> Result<()> {
        match self.rows.first() {
            Some(row) if row.driver == "memory" => write_table(&self.rows, out)?,
            _ => write_disk_table(&self.rows, out)?,
        }
        for line in &self.lines {
            writeln!(out, "{line}")?;
        }
        for failure in &self.failures {
            writeln!(out, "FAILED: {failure}")?;
        }
        Ok(())
    }

    /// Tells what was not measured because there was no time.
    pub(crate) fn leave_out(&mut self, driver: &str, what: &str) {
        self.leave_out_why(driver, what, "no time");
    }

    /// Tells what was not measured, and why.
    pub(crate) fn leave_out_why(&mut self, driver: &str, what: &str, why: &str) {
        self.lines
            .push(format!("{driver}: left out: {what}: {why}"));
    }
}

/// Writes one line per operation and batch, with its rates at every depth side by side.
///
/// The last column says what is left of the rate at the smallest depth at the largest: 1.00 is all of it.
pub(crate) fn write_table(rows: &[Row], out: &mut impl Write) -> Result<()> {
    let mut depths: Vec<usize> = rows.iter().map(|row| row.depth).collect();
    depths.sort_unstable();
    depths.dedup();

    let mut head = format!(
        "{:<8} {:<13} {:<10} {:>6}",
        "driver", "durability", "operation", "batch"
    );
    for depth in &depths {
        head += &format!(" {:>18}", format!("{} deep", short(*depth as f64)));
    }
    writeln!(out, "{head} {:>8}", "kept")?;

    let is_first = |row: &&Row| {
        let is_other = row.baseline.as_deref().is_some_and(|name| name != "btree");
        !is_other && Some(&row.depth) == depths.first()
    };
    for first in rows.iter().filter(is_first) {
        let rates: Vec<f64> = depths
            .iter()
            .filter_map(|depth| {
                let is_same = |row: &&Row| {
                    (&row.driver, row.operation, row.batch, row.depth)
                        == (&first.driver, first.operation, first.batch, *depth)
                };
                rows.iter().find(is_same)?.items_per_second
            })
            .collect();
        let mut line = format!(
            "{:<8} {:<13} {:<10} {:>6}",
            first.driver, first.durability, first.operation, first.batch
        );
        for rate in &rates {
            line += &format!(" {:>18}", format!("{} items/s", short(*rate)));
        }
        if let [shallow, .., deep] = rates[..] {
            line += &format!(" {:>8.2}", deep / shallow);
        }
        writeln!(out, "{line}")?;
    }

    for row in rows {
        if let (Some(name), Some(own), Some(bare), Some(ratio)) = (
            &row.baseline,
            row.items_per_second,
            row.baseline_items_per_second,
            row.ratio,
        ) {
            writeln!(
                out,
                "{:<8} {:<10} batch {:>4} at {:>6} deep: {:>8} items/s, {ratio:>5.2} of {name} ({} items/s)",
                row.driver,
                row.operation,
                row.batch,
                short(row.depth as f64),
                short(own),
                short(bare),
            )?;
        }
    }

    for row in rows {
        if let (Some(bytes), 1) = (row.bytes_per_item, row.batch) {
            writeln!(
                out,
                "{}: {bytes:.0} bytes of resident memory an item at {} deep, {} of them payload",
                row.driver,
                short(row.depth as f64),
                row.payload_bytes
            )?;
        }
    }
    Ok(())
}

/// Writes one line per operation of drivers on disk, with its ratios to both baselines; nothing if there is none.
pub(crate) fn write_disk_table(rows: &[Row], out: &mut impl Write) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{:<8} {:<13} {:<14} {:>5} {:>7} {:>6} {:>9} {:>15} {:>9} {:>11} {:>10} {:>6} {:>9} {:>10} {:>11} {:>8} {:>10}",
        "driver",
        "durability",
        "operation",
        "batch",
        "payload",
        "depth",
        "producers",
        "rate",
        "of replay",
        "of gathered",
        "of by-hand",
        "cpu µs",
        "of replay",
        "of by-hand",
        "writes/item",
        "ops/sync",
        "bytes/item"
    )?;
    let key = |row: &Row| {
        let Row {
            durability,
            operation,
            batch,
            payload_bytes,
            depth,
            producers,
            ..
        } = row;
        let driver = row.driver.clone();
        let numbers = (*batch, *payload_bytes, *depth, *producers);
        (driver, durability.clone(), *operation, numbers)
    };
    let column =
        |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.2}"));
    for same in rows.chunk_by(|a, b| key(a) == key(b)) {
        let Some(row) = same.first() else { continue };
        let rate = row.items_per_second;
        let ratio = |name: &str, of: fn(&Row) -> Option<f64>| {
            let is_it = |row: &&Row| row.baseline.as_deref() == Some(name);
            column(same.iter().find(is_it).and_then(of))
        };
        writeln!(
            out,
            "{:<8} {:<13} {:<14} {:>5} {:>7} {:>6} {:>9} {:>15} {:>9} {:>11} {:>10} {:>6} {:>9} {:>10} {:>11} {:>8} {:>10}",
            row.driver,
            row.durability,
            row.operation,
            row.batch,
            row.payload_bytes,
            short(row.depth as f64),
            row.producers,
            rate.map_or("-".to_owned(), |rate| format!("{} items/s", short(rate))),
            ratio("replay", |row| row.ratio),
            column(row.gathered_ratio),
            ratio("by-hand", |row| row.ratio),
            column(row.cpu_per_item),
            ratio("replay", |row| row.cpu_ratio),
            ratio("by-hand", |row| row.cpu_ratio),
            column(row.writes_per_item),
            column(row.operations_per_sync),
            column(row.bytes_per_item),
        )?;
    }
    Ok(())
}

/// Three digits and a unit.
pub(crate) fn short(number: f64) -> String {
    let (scaled, unit) = if number >= 1e6 {
        (number / 1e6, " M")
    } else if number >= 1e3 {
        (number / 1e3, " k")
    } else {
        (number, "")
    };
    let digits = if scaled >= 100.0 || scaled.fract() == 0.0 {
        0
    } else if scaled >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(batch: usize, depth: usize, items_per_second: f64) -> Row {
        Row {
            driver: "memory".to_owned(),
            durability: "none".to_owned(),
            operation: "lease",
            batch,
            payload_bytes: 100,
            depth,
            producers: 1,
            items_per_second: Some(items_per_second),
            ..Row::default()
        }
    }

    #[test]
    fn a_line_compares_the_depths_of_one_operation_and_batch() {
        let rows = [
            row(1, 1000, 2e6),
            row(1, 1_000_000, 1.5e6),
            row(100, 1000, 4e6),
            row(100, 1_000_000, 1e6),
        ];
        let mut table = Vec::new();

        write_table(&rows, &mut table).unwrap();

        let table = String::from_utf8(table).unwrap();
        let lines: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert_eq!(lines[1].last(), Some(&"0.75"), "{table}");
        assert_eq!(lines[2].last(), Some(&"0.25"), "{table}");
    }

    #[test]
    fn the_columns_of_a_row_are_those_that_programs_read() {
        let row = Row {
            writes_per_item: Some(1.0),
            gathered_ratio: Some(1.0),
            cpu_ratio: Some(1.0),
            cpu_per_item: Some(1.0),
            ..row(1, 1000, 2e6)
        };

        let json = serde_json::to_string(&[row]).unwrap();

        assert_eq!(
            json,
            concat!(
                r#"[{"driver":"memory","durability":"none","operation":"lease","batch":1,"payload_bytes":100,"#,
                r#""depth":1000,"producers":1,"items_per_second":2000000.0,"baseline":null,"#,
                r#""baseline_items_per_second":null,"ratio":null,"bytes_per_item":null,"#,
                r#""operations_per_sync":null}]"#
            )
        );
    }

    #[test]
    fn columns_that_do_not_apply_are_null() {
        let json = serde_json::to_value(row(1, 1000, 2e6)).unwrap();

        for column in [
            "baseline",
            "baseline_items_per_second",
            "ratio",
            "bytes_per_item",
            "operations_per_sync",
        ] {
            assert!(json[column].is_null(), "{column}");
        }
        assert_eq!(json["items_per_second"], 2e6);
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(short(999.0), "999");
        assert_eq!(short(1000.0), "1 k");
        assert_eq!(short(12_345.0), "12.3 k");
        assert_eq!(short(1_234_567.0), "1.23 M");
    }
}
