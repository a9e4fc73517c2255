//! Finding out which cases fail on a mutant, so that its list can be filled from facts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use storage_conformance::cases;
use storage_conformance::prove::Proof;

use crate::mutant::Mutant;
use crate::{HANGING, try_case};

/// Runs the cases on the mutants whose names contain one of the texts, and prints what fails, a line each, as soon as it is
/// known: mutant, how often it was wrong, case, first line of the reason.
///
/// The texts are separated by commas. One that begins with `-` takes away what contains it.
pub(crate) fn discover(mutants: &[Mutant], names: &str, ids: &str) {
    let chosen = mutants
        .iter()
        .filter(|mutant| is_chosen(names, mutant.name));
    let cases = cases::all();
    let pairs: Vec<_> = chosen
        .flat_map(|mutant| cases.iter().map(move |case| (mutant, case.id)))
        .filter(|(_, id)| is_chosen(ids, id))
        .collect();
    let (next, out) = (AtomicUsize::new(0), Mutex::new(()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((mutant, case)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (proof, times) = try_case(mutant, case, HANGING);
                    let (Proof::Broken(reason) | Proof::Hung(reason)) = proof else {
                        continue;
                    };
                    let _guard = out.lock();
                    let reason = reason.lines().next().unwrap_or_default().to_owned();
                    println!("{}\t{times}\t{case}\t{reason}", mutant.name);
                }
            });
        }
    });
}

fn is_chosen(texts: &str, name: &str) -> bool {
    let (without, with): (Vec<&str>, Vec<&str>) = texts
        .split(',')
        .filter(|text| !text.is_empty())
        .partition(|text| text.starts_with('-'));
    let is_without = without.iter().any(|text| name.contains(&text[1..]));
    !is_without && (with.is_empty() || with.iter().any(|text| name.contains(text)))
}
