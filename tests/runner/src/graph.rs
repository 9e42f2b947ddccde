//! The dependency graph of what we ship, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::context::Context;
use crate::failure::{During, Failure};
use crate::lane_log::LaneLog;

/// What ships: all that a lock or a hub links.
pub(crate) const SHIPPED: &[&str] = &[
    "drawbridge-protocol",
    "drawbridge-lock",
    "drawbridge-lock-ble",
    "drawbridge-lock-sim",
    "drawbridge-daemon",
];

/// A package that is linked into one of the roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) keywords: Vec<String>,
    /// Names of the packages that depend on it, within the graph.
    pub(crate) parents: BTreeSet<String>,
    /// Names of the packages that it depends on.
    pub(crate) children: BTreeSet<String>,
}

/// Everything reachable from the roots by normal dependencies, with all features on and for every
/// platform: more than any one build links, never less.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    pub(crate) packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetaPackage>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct MetaPackage {
    id: String,
    name: String,
    version: String,
    #[serde(default)]
    keywords: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// `None` is a normal dependency; `dev` and `build` are not linked.
    kind: Option<String>,
}

impl Graph {
    /// All that [`SHIPPED`] links.
    ///
    /// # Errors
    /// When cargo fails, or as in [`Self::walk`].
    pub(crate) fn of_what_ships(context: &Context, log: &mut LaneLog<'_>) -> Result<Self, Failure> {
        let words = [
            "metadata",
            "--locked",
            "--format-version",
            "1",
            "--all-features",
        ];
        let metadata = log.read(context.cargo(words))?;
        Self::walk(&metadata, SHIPPED)
    }

    /// Walks `cargo metadata --format-version 1 --all-features` from the named packages.
    ///
    /// # Errors
    /// When the metadata is not as expected, or a root is not in it: an empty graph would pass.
    pub(crate) fn walk(metadata: &str, roots: &[&str]) -> Result<Self, Failure> {
        let metadata: Metadata =
            serde_json::from_str(metadata).during(|| "parse cargo metadata".to_owned())?;
        let by_id: BTreeMap<&str, &MetaPackage> = metadata
            .packages
            .iter()
            .map(|package| (package.id.as_str(), package))
            .collect();
        let children: BTreeMap<&str, Vec<&str>> = metadata
            .resolve
            .nodes
            .iter()
            .map(|node| {
                let linked = node.deps.iter().filter(|dependency| {
                    dependency.dep_kinds.iter().any(|kind| kind.kind.is_none())
                });
                (
                    node.id.as_str(),
                    linked.map(|dependency| dependency.pkg.as_str()).collect(),
                )
            })
            .collect();
        let mut stack = Vec::new();
        for root in roots {
            let package = metadata
                .packages
                .iter()
                .find(|package| package.name == *root);
            let package =
                package.ok_or_else(|| Failure::new(format!("find {root} in cargo metadata")))?;
            stack.push(package.id.as_str());
        }
        let mut parents: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        while let Some(id) = stack.pop() {
            if !seen.insert(id) {
                continue;
            }
            for child in children.get(id).into_iter().flatten() {
                if let Some(parent) = by_id.get(id) {
                    parents
                        .entry(child)
                        .or_default()
                        .insert(parent.name.clone());
                }
                stack.push(child);
            }
        }
        let name_of = |id: &&str| by_id.get(id).map(|package| package.name.clone());
        let packages = seen
            .iter()
            .filter_map(|id| {
                let package = by_id.get(id)?;
                Some(Package {
                    name: package.name.clone(),
                    version: package.version.clone(),
                    keywords: package.keywords.clone(),
                    parents: parents.get(id).cloned().unwrap_or_default(),
                    children: children
                        .get(id)
                        .into_iter()
                        .flatten()
                        .filter_map(name_of)
                        .collect(),
                })
            })
            .collect();
        Ok(Self { packages })
    }

    /// The same graph with one more package in it, for checking the check.
    pub(crate) fn with(&self, package: Package) -> Self {
        let mut graph = self.clone();
        graph.packages.push(package);
        graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "packages": [
            {"id": "root#1", "name": "root", "version": "1.0.0"},
            {"id": "aead#1", "name": "aead", "version": "0.6.0", "keywords": ["crypto"]},
            {"id": "cbc#1", "name": "cbc", "version": "0.1.2"},
            {"id": "bindgen#1", "name": "bindgen", "version": "1.0.0"}
        ],
        "resolve": {"nodes": [
            {"id": "root#1", "deps": [
                {"pkg": "aead#1", "dep_kinds": [{"kind": null}]},
                {"pkg": "bindgen#1", "dep_kinds": [{"kind": "build"}]},
                {"pkg": "cbc#1", "dep_kinds": [{"kind": "dev"}]}
            ]},
            {"id": "aead#1", "deps": [{"pkg": "cbc#1", "dep_kinds": [{"kind": "dev"}, {"kind": null}]}]},
            {"id": "cbc#1", "deps": []},
            {"id": "bindgen#1", "deps": []}
        ]}
    }"#;

    // Guards: a walk that stops at direct dependencies, or counts what only tests link.
    #[test]
    fn graph_holds_what_is_linked_at_any_depth() {
        let graph = Graph::walk(METADATA, &["root"]).unwrap();
        let names: Vec<&str> = graph.packages.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["aead", "cbc", "root"]);
        let cbc = graph
            .packages
            .iter()
            .find(|package| package.name == "cbc")
            .unwrap();
        assert_eq!(cbc.parents, BTreeSet::from(["aead".to_owned()]));
    }

    // Guards: a renamed crate turning the check into one of nothing.
    #[test]
    fn missing_root_is_an_error() {
        assert!(Graph::walk(METADATA, &["root", "drawbridge-gone"]).is_err());
    }
}
