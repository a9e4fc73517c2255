//! Every clause of `CONTRACT.md`.

/// The ids of the clauses, in the order of the contract.
pub const CLAUSES: &[&str] = &[
    "PART-1", "PART-2", "PART-3", "PART-4", "PART-5", "PART-6", "PART-7", "PART-8", "ITEM-1",
    "ITEM-2", "ITEM-3", "ITEM-4", "ITEM-5", "ITEM-6", "ORDER-1", "LEASE-1", "LEASE-2", "LEASE-3",
    "LEASE-4", "LEASE-5", "LEASE-6", "LEASE-7", "LEASE-8", "LEASE-9", "BATCH-1", "BATCH-2",
    "DONE-1", "DONE-2", "RETRY-1", "RETRY-2", "RETRY-3", "RETRY-4", "RETRY-5", "RETRY-6", "DEAD-1",
    "DEAD-2", "DEAD-3", "TIME-1", "TIME-2", "TIME-3", "TIME-4", "WAKE-1", "LIST-1", "LIST-2",
    "LIST-3", "LIST-4", "MOVE-1", "MOVE-2", "META-1", "META-2", "META-3", "META-4", "META-5",
    "META-6", "META-7", "ATOM-1", "ATOM-2", "CONC-1", "CONC-2", "DUR-1", "DUR-2", "DUR-3", "DUR-4",
    "OPEN-1", "OPEN-2", "OPEN-3", "CLOSE-1", "LIMIT-1", "LIMIT-2", "USE-1", "ERR-1", "ERR-2",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    /// The ids of the lines that begin a clause: «- **PART-1**» or «- PART-1».
    fn clauses_of(contract: &str) -> Vec<&str> {
        contract
            .lines()
            .filter_map(|line| {
                let line = line.strip_prefix("- ")?.trim_start_matches('*');
                let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '-')?;
                let (area, number) = line[..end].split_once('-')?;
                let is_clause = !area.is_empty()
                    && area.chars().all(|c| c.is_ascii_uppercase())
                    && number.parse::<u32>().is_ok();
                is_clause.then_some(&line[..end])
            })
            .collect()
    }

    #[test]
    fn the_list_is_that_of_the_contract() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../CONTRACT.md");
        let contract = std::fs::read_to_string(path).expect("the contract stands beside the suite");

        assert_eq!(clauses_of(&contract), CLAUSES);
    }

    #[test]
    fn every_clause_has_a_case() {
        let all = cases::all();
        // Model runs touch nearly everything; a clause needs a case that is about it.
        let by_hand = all
            .iter()
            .filter(|case| !case.id.starts_with("model::") && !case.id.starts_with("corpus::"));
        let is_proved = |clause: &str| by_hand.clone().any(|case| case.clauses.contains(&clause));

        let unproved: Vec<_> = CLAUSES.iter().filter(|clause| !is_proved(clause)).collect();

        assert!(unproved.is_empty(), "clauses without a case: {unproved:?}");
    }

    #[test]
    fn every_case_proves_clauses_that_exist() {
        for case in cases::all() {
            assert!(!case.clauses.is_empty(), "{} proves nothing", case.id);
            for clause in case.clauses {
                assert!(CLAUSES.contains(clause), "{} cites {clause}", case.id);
            }
        }
    }
}
