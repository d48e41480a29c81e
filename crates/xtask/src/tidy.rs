//! Which crate may know which. The picture is in ARCHITECTURE.md; this is what holds the code to it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// Each of our crates and those of ours it may use. Whatever is not here may not be.
const ARROWS: [(&str, &[&str]); 6] = [
    ("domain", &[]),
    ("journal", &[]),
    ("wire", &["domain"]),
    ("authority", &["domain", "journal", "wire"]),
    ("claviger", &["authority", "domain", "wire"]),
    ("xtask", &[]),
];

/// What must not be reachable from a crate, however indirectly, and why.
const NEVER: [(&str, &str, &str); 9] = [
    ("domain", "tokio", "the domain does no I/O and waits for nothing"),
    ("domain", "sqlx", "the domain does not know how it is remembered"),
    ("domain", "tonic", "the domain does not know how it is asked"),
    ("domain", "getrandom", "randomness is an argument"),
    ("wire", "sqlx", "the wire remembers nothing"),
    ("journal", "tonic", "the journal answers nobody"),
    ("claviger", "ring", "there is one crypto provider, aws-lc-rs"),
    ("claviger", "openssl-sys", "there is one crypto provider, aws-lc-rs"),
    ("claviger", "native-tls", "there is one crypto provider, aws-lc-rs"),
];

pub(crate) fn check() -> anyhow::Result<()> {
    let problems = problems(&Tree::read()?, &ARROWS);
    if problems.is_empty() { Ok(()) } else { bail!("{}", problems.join("\n")) }
}

/// Our crates: who uses whom, and what each reaches, without what only tests use.
struct Tree {
    uses: BTreeMap<String, BTreeSet<String>>,
    reaches: BTreeMap<String, BTreeSet<String>>,
}

impl Tree {
    fn read() -> anyhow::Result<Self> {
        let metadata = cargo(&["metadata", "--format-version", "1", "--locked", "--no-deps"])?;
        let uses =
            arrows_in(&serde_json::from_str(&metadata)?).context("cargo metadata is not what it was")?;
        let mut reaches = BTreeMap::new();
        for name in uses.keys() {
            // `tree` and not `metadata`, which also lists what is optional and not built.
            let arguments =
                ["tree", "--locked", "--package", name, "--edges", "normal,build", "--prefix", "none"];
            let tree = cargo(&arguments)?;
            let names = tree.lines().filter_map(|line| line.split_whitespace().next());
            reaches.insert(name.clone(), names.map(str::to_owned).collect());
        }
        Ok(Self { uses, reaches })
    }
}

fn cargo(arguments: &[&str]) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = Command::new(cargo).args(arguments).output()?;
    ensure!(run.status.success(), "cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&run.stderr));
    Ok(String::from_utf8(run.stdout)?)
}

fn arrows_in(metadata: &Value) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let packages = metadata.get("packages")?.as_array()?;
    let mut uses = BTreeMap::new();
    for package in packages {
        let dependencies = package.get("dependencies")?.as_array()?;
        // A path is what makes it one of ours; a kind is what makes it for tests or builds.
        let ours = dependencies.iter().filter(|it| it.get("path").is_some_and(Value::is_string));
        let for_real = ours.filter(|it| it.get("kind").is_some_and(Value::is_null));
        let names = for_real.filter_map(|it| Some(it.get("name")?.as_str()?.to_owned()));
        uses.insert(package.get("name")?.as_str()?.to_owned(), names.collect());
    }
    Some(uses)
}

fn problems(tree: &Tree, arrows: &[(&str, &[&str])]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, used) in &tree.uses {
        let Some((_, allowed)) = arrows.iter().find(|(known, _)| known == name) else {
            problems.push(format!(
                "crate {name} is in no picture: say in ARCHITECTURE.md and here what it may use"
            ));
            continue;
        };
        for other in used.iter().filter(|other| !allowed.contains(&other.as_str())) {
            problems.push(format!("crate {name} uses {other}: that arrow is not in the picture"));
        }
    }
    for (from, never, why) in NEVER {
        if tree.reaches.get(from).is_none_or(|reached| reached.contains(never)) {
            problems.push(format!("crate {from} reaches {never}: {why}"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arrow_is_in_the_picture() {
        assert_eq!(problems(&Tree::read().unwrap(), &ARROWS), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_that_is_not_in_the_picture_is_noticed() {
        let without: Vec<_> = ARROWS.map(|(name, _)| (name, &[][..])).into();
        let found = problems(&Tree::read().unwrap(), &without);
        assert!(
            found.contains(&"crate wire uses domain: that arrow is not in the picture".to_owned()),
            "{found:?}"
        );
        assert_eq!(found.len(), 7, "{found:?}");
        let unknown = problems(&Tree::read().unwrap(), &ARROWS[1..]);
        assert!(unknown.iter().any(|problem| problem.starts_with("crate domain is in no picture")));
    }

    #[test]
    fn what_must_not_be_reachable_is_noticed() {
        let mut tree = Tree::read().unwrap();
        tree.reaches.entry("domain".to_owned()).or_default().insert("tokio".to_owned());
        let found = problems(&tree, &ARROWS);
        assert!(found.iter().any(|problem| problem.starts_with("crate domain reaches tokio")), "{found:?}");
    }
}
