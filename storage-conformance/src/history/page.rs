//! A history as a page that needs nothing else: tasks beneath each other, time from left to right.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::call::{Call, Tick};
use super::perform::STAGE;
use super::request::Answer;
use super::shrink::Finding;
use super::words::refusal;

/// A page about what was found.
pub(crate) fn page(title: &str, repeat: &str, finding: &Finding) -> String {
    let Finding { calls, evidence } = finding;
    let columns = columns(calls);
    let end = columns.len() + 1;
    let mut lanes: Vec<usize> = calls.iter().map(|call| call.lane).collect();
    lanes.sort_unstable();
    lanes.dedup();
    let number = |index: usize| evidence.order.iter().position(|one| *one == index);
    let is_stuck = |index: usize| evidence.stuck.iter().any(|(one, _)| *one == index);

    let mut html = String::new();
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>{0}</title>\n<style>{STYLE}</style></head>\n\
         <body>\n<h1>{0}</h1>\n<p>{1}</p>\n<p>Repeat it with <code>{2}</code></p>\n",
        escaped(title),
        escaped(&verdict(finding)),
        escaped(repeat)
    );
    let _ = writeln!(
        html,
        "<div class=\"lanes\" style=\"grid-template-columns: 6rem repeat({}, minmax(5.5rem, 1fr))\">",
        end - 1
    );
    for (row, lane) in lanes.iter().enumerate() {
        let name = if *lane == STAGE {
            "stage".to_owned()
        } else {
            format!("task {lane}")
        };
        let _ = writeln!(
            html,
            "<div class=\"name\" style=\"grid-row:{0};grid-column:1\">{name}</div><div class=\"rule\" style=\"grid-row:{0};grid-column:2/{1}\"></div>",
            row + 1,
            end + 1
        );
    }
    for (index, call) in calls.iter().enumerate() {
        let row = lanes
            .iter()
            .position(|lane| *lane == call.lane)
            .unwrap_or(0)
            + 1;
        let from = columns[&call.called];
        let to = call.ended().map_or(end, |ended| columns[&ended]);
        let mut class = "call".to_owned();
        if number(index).is_some() {
            class.push_str(" ordered");
        }
        if is_stuck(index) {
            class.push_str(" stuck");
        }
        if !call.is_answered() {
            class.push_str(" open");
        }
        let badge = number(index).map_or_else(String::new, |at| format!("<b>{}</b> ", at + 1));
        let _ = writeln!(
            html,
            "<div class=\"{class}\" style=\"grid-row:{row};grid-column:{}/{}\" title=\"{}\">{badge}<span class=\"verb\">{}</span><br>{}</div>",
            from + 1,
            to + 2,
            escaped(&format!("{}\n→ {}", call.told(), call.end_told())),
            escaped(&call.told()),
            escaped(&format!("→ {}", call.end_told())),
        );
    }
    html.push_str("</div>\n");
    html.push_str(
        "<p class=\"legend\"><span class=\"call ordered\"><b>1</b> has its place in the order</span> \
         <span class=\"call stuck\">could come next, and is not explained</span> \
         <span class=\"call open\">without an answer: it may have applied, or not</span> \
         <span class=\"call\">not reached</span></p>\n",
    );
    stuck(&mut html, finding);
    table(&mut html, finding, &number);
    html.push_str("</body></html>\n");
    html
}

/// What the page is about in one sentence.
pub(crate) fn verdict(finding: &Finding) -> String {
    let Finding { calls, evidence } = finding;
    match &evidence.reason {
        Some(reason) => format!("No order can explain these calls: {reason}."),
        None => format!(
            "No order explains these {} calls. The longest beginning of one has {} of them, numbered; none of the {} that \
             could come next may answer there what it answered.",
            calls.len(),
            evidence.order.len(),
            evidence.stuck.len()
        ),
    }
}

/// The whole as text, for those who have no browser at hand.
pub(crate) fn text(finding: &Finding) -> String {
    let Finding { calls, evidence } = finding;
    let mut text = verdict(finding);
    text.push('\n');
    for (index, call) in calls.iter().enumerate() {
        let number = evidence.order.iter().position(|one| *one == index);
        let number = number.map_or_else(String::new, |at| (at + 1).to_string());
        let ended = call
            .ended()
            .map_or_else(|| "…".to_owned(), |at| at.to_string());
        let _ = writeln!(
            text,
            "  {number:>3} task {} {:>4}–{ended:<4} {}\n{:28}→ {}",
            call.lane,
            call.called,
            call.told(),
            "",
            call.end_told()
        );
    }
    for (index, instead) in &evidence.stuck {
        let call = &calls[*index];
        let _ = writeln!(
            text,
            "task {} {}\n  answered {}\n  there the model answers {}",
            call.lane,
            call.told(),
            call.end_told(),
            told(instead)
        );
    }
    text
}

fn told(instead: &storage_api::Result<Answer>) -> String {
    match instead {
        Ok(answer) => answer.told(),
        Err(error) => refusal(error),
    }
}

/// Each tick that something happened at has a column, whatever lies between.
fn columns(calls: &[Call]) -> BTreeMap<Tick, usize> {
    let ticks = calls
        .iter()
        .flat_map(|call| [Some(call.called), call.ended()])
        .flatten();
    let mut ticks: Vec<_> = ticks.collect();
    ticks.sort_unstable();
    ticks.dedup();
    let numbered = ticks.into_iter().enumerate();
    numbered.map(|(index, tick)| (tick, index + 1)).collect()
}

fn stuck(html: &mut String, finding: &Finding) {
    let Finding { calls, evidence } = finding;
    if evidence.stuck.is_empty() {
        return;
    }
    html.push_str("<h2>Where no order goes on</h2>\n<table><tr><th>task</th><th>call</th><th>answered</th><th>the model answers there</th></tr>\n");
    for (index, instead) in &evidence.stuck {
        let call = &calls[*index];
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td class=\"was\">{}</td><td>{}</td></tr>",
            call.lane,
            escaped(&call.told()),
            escaped(&call.end_told()),
            escaped(&told(instead))
        );
    }
    html.push_str("</table>\n");
}

fn table(html: &mut String, finding: &Finding, number: &dyn Fn(usize) -> Option<usize>) {
    html.push_str("<h2>Every call</h2>\n<table><tr><th>order</th><th>task</th><th>called</th><th>ended</th><th>call</th><th>answer</th></tr>\n");
    for (index, call) in finding.calls.iter().enumerate() {
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            number(index).map_or_else(String::new, |at| (at + 1).to_string()),
            call.lane,
            call.called,
            call.ended()
                .map_or_else(|| "never".to_owned(), |at| at.to_string()),
            escaped(&call.told()),
            escaped(&call.end_told())
        );
    }
    html.push_str("</table>\n");
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\0' => escaped.push('␀'),
            c => escaped.push(c),
        }
    }
    escaped
}

const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;margin:2rem;color:#1b1f24;background:#fff}\
h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}code{background:#eef1f4;padding:.1rem .35rem}\
.lanes{display:grid;row-gap:.6rem;column-gap:2px;overflow-x:auto;padding:.6rem 0;border-block:1px solid #d5dae0}\
.name{font-weight:600;align-self:center;position:sticky;left:0;background:#fff;z-index:2}\
.rule{align-self:center;border-top:1px dashed #b9c1ca}\
.call{background:#eef1f4;border:1px solid #b9c1ca;border-radius:4px;padding:.25rem .4rem;font-size:12px;line-height:1.35;\
z-index:1;overflow-wrap:anywhere}\
.call .verb{font-weight:600}.call b{background:#1d6f42;color:#fff;border-radius:8px;padding:0 .45em}\
.ordered{background:#e2f4e8;border-color:#7fbf96}.stuck{background:#fde4e1;border:2px solid #c8352b}\
.open{border-style:dashed;border-right:none}\
.legend{font-size:12px}.legend .call{margin-right:.6rem;display:inline-block}\
table{border-collapse:collapse;font-size:13px}th,td{border:1px solid #d5dae0;padding:.25rem .5rem;text-align:left;\
vertical-align:top;overflow-wrap:anywhere}th{background:#f5f7f9;white-space:nowrap}td.was{background:#fde4e1}";
