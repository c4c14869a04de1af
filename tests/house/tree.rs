//! The modules of the crate as their sources declare them, and what every file names. Sources are parsed, so
//! that `super::`, re-exports, names brought in by `use` and paths inside expressions and macros all count.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// Each source file, parsed, by its path in the repository, with `/`.
pub type Sources = BTreeMap<String, syn::File>;

/// A path as it is written: `["super", "layer", "Layer"]`.
type Segments = Vec<String>;

/// One module: a file, or a block inside one.
#[derive(Default)]
struct Module {
    file: String,
    parent: Option<usize>,
    /// The root of its crate.
    root: usize,
    children: BTreeMap<String, usize>,
    /// Names that `use` brings in, and what each stands for.
    imports: BTreeMap<String, Segments>,
    /// Paths whose every name is brought in.
    globs: Vec<Segments>,
    /// Names of what is defined here.
    items: BTreeSet<String>,
    /// Every path in the module's code, those of `use` included.
    paths: BTreeSet<Segments>,
}

/// Where a path leads.
struct Target {
    /// Modules that re-export the item, and last the one that defines it or the one that the path names.
    modules: Vec<usize>,
    /// Whether it ends at the last module itself, not at an item of it.
    is_module: bool,
}

/// What one file takes from another, or from a crate outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: String,
    pub to: String,
    /// The path as written.
    pub path: String,
}

/// The library and the binary.
pub struct Tree {
    modules: Vec<Module>,
    library: usize,
}

impl Tree {
    /// Reads all modules that `library` and `binary`, the root files, declare. Code for tests alone
    /// is left out: it may use anything.
    pub fn new(sources: &Sources, library: &str, binary: &str) -> Self {
        let mut tree = Self {
            modules: Vec::new(),
            library: 0,
        };
        for root in [library, binary] {
            let index = tree.modules.len();
            let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
            tree.file(sources, root, folder, None, index);
        }
        tree
    }

    /// Adds the module of a file whose children lie in `folder`.
    fn file(
        &mut self,
        sources: &Sources,
        file: &str,
        folder: &str,
        parent: Option<usize>,
        root: usize,
    ) -> usize {
        let parsed = sources.get(file).unwrap_or_else(|| panic!("no {file}"));
        self.module(sources, file, folder, parent, root, &parsed.items)
    }

    fn module(
        &mut self,
        sources: &Sources,
        file: &str,
        folder: &str,
        parent: Option<usize>,
        root: usize,
        items: &[Item],
    ) -> usize {
        let index = self.modules.len();
        self.modules.push(Module {
            file: file.into(),
            parent,
            root,
            ..Module::default()
        });
        let mut reader = Reader {
            module: &mut self.modules[index],
        };
        for item in items {
            reader.visit_item(item);
        }
        for item in items {
            let Item::Mod(m) = item else { continue };
            if only_for_tests(&m.attrs) {
                continue;
            }
            let name = m.ident.to_string();
            let inside = format!("{folder}/{name}");
            let child = match &m.content {
                Some((_, items)) => self.module(sources, file, &inside, Some(index), root, items),
                None => {
                    let [beside, below] = [format!("{inside}.rs"), format!("{inside}/mod.rs")];
                    let path = if sources.contains_key(&beside) {
                        beside
                    } else {
                        below
                    };
                    self.file(sources, &path, &inside, Some(index), root)
                }
            };
            self.modules[index].children.insert(name, child);
        }
        index
    }

    /// Follows a path written in module `from`; `None` where it leads out of the crate.
    fn resolve(
        &self,
        from: usize,
        path: &[String],
        open: &mut BTreeSet<(usize, Segments)>,
    ) -> Option<Target> {
        if !open.insert((from, path.to_vec())) {
            return None;
        }
        let mut modules = Vec::new();
        let mut at = from;
        for (i, name) in path.iter().enumerate() {
            let module = &self.modules[at];
            match name.as_str() {
                "crate" => at = module.root,
                "self" => {}
                "super" => at = module.parent?,
                "chanscope" if i == 0 && module.root != self.library => at = self.library,
                _ => {
                    if let Some(&child) = module.children.get(name) {
                        at = child;
                        continue;
                    }
                    let inner = self.imported(at, name, open);
                    if let Some(inner) = inner {
                        modules.push(at);
                        modules.extend(&inner.modules);
                        at = *inner.modules.last()?;
                        if inner.is_module {
                            continue;
                        }
                    } else if i == 0 && !module.items.contains(name) {
                        return None;
                    } else {
                        modules.push(at);
                    }
                    return Some(Target {
                        modules,
                        is_module: false,
                    });
                }
            }
        }
        modules.push(at);
        Some(Target {
            modules,
            is_module: true,
        })
    }

    /// What a name that `use` brings into a module stands for.
    fn imported(
        &self,
        at: usize,
        name: &str,
        open: &mut BTreeSet<(usize, Segments)>,
    ) -> Option<Target> {
        let module = &self.modules[at];
        if let Some(path) = module.imports.get(name) {
            return self.resolve(at, path, open);
        }
        module.globs.iter().find_map(|glob| {
            let source = self.resolve(at, glob, open)?;
            let last = *source.modules.last()?;
            let holder = &self.modules[last];
            let known = holder.items.contains(name)
                || holder.children.contains_key(name)
                || holder.imports.contains_key(name)
                || !holder.globs.is_empty();
            let mut target = known.then(|| self.resolve(last, &[name.into()], open))??;
            target.modules.splice(0..0, source.modules);
            Some(target)
        })
    }

    /// For every path of every file, the modules that re-export its item and the one that defines it: what a
    /// folder has to be allowed. Crates outside are named as they are, such as `wgpu`.
    pub fn touched(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        self.each(|from, path, target| {
            let mut add = |to: &str| {
                arrows.insert(Arrow {
                    from: from.into(),
                    to: to.into(),
                    path: path.join("::"),
                });
            };
            match target {
                None => add(&path[0]),
                Some(target) => {
                    for &m in &target.modules {
                        add(&self.modules[m].file);
                    }
                }
            }
        });
        arrows
    }

    /// Which file uses an item that another defines, re-exports followed to the definition. A `mod` line is no
    /// arrow, and neither is the name of a module by itself: what is used of it is.
    pub fn uses(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        self.each(|from, path, target| {
            let Some(target) = target else { return };
            let last = target.modules.last().map(|&m| &self.modules[m].file);
            if let Some(to) = last.filter(|to| !target.is_module && *to != from) {
                arrows.insert(Arrow {
                    from: from.into(),
                    to: to.clone(),
                    path: path.join("::"),
                });
            }
        });
        arrows
    }

    fn each(&self, mut f: impl FnMut(&str, &Segments, Option<&Target>)) {
        for (index, module) in self.modules.iter().enumerate() {
            for path in &module.paths {
                let target = self.resolve(index, path, &mut BTreeSet::new());
                f(&module.file, path, target.as_ref());
            }
            for glob in &module.globs {
                let target = self.resolve(index, glob, &mut BTreeSet::new());
                let target = target.map(|t| Target {
                    is_module: false,
                    ..t
                });
                f(&module.file, glob, target.as_ref());
            }
        }
    }
}

/// Every path in one file, as written.
pub fn paths(file: &syn::File) -> BTreeSet<Vec<String>> {
    let mut module = Module::default();
    let mut reader = Reader {
        module: &mut module,
    };
    for item in &file.items {
        reader.visit_item(item);
    }
    module.paths.extend(module.globs);
    module.paths
}

/// Whether an item is compiled for tests alone: those of this crate, or those that `src/internals.rs` lists.
fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|a| {
        a.path().is_ident("cfg")
            && a.meta.require_list().is_ok_and(|list| {
                let condition = list.tokens.to_string();
                let internals = "feature = \"internals\"";
                condition == "test" || condition.starts_with("all (test") || condition == internals
            })
    })
}

/// Fills in a module from its items; blocks of modules are left to the caller.
struct Reader<'a> {
    module: &'a mut Module,
}

impl Reader<'_> {
    fn import(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(p) => self.import(&with(&p.ident), &p.tree),
            UseTree::Name(n) if n.ident == "self" => {
                if let Some(last) = before.last() {
                    self.name(last.clone(), before.to_vec());
                }
            }
            UseTree::Name(n) => self.name(n.ident.to_string(), with(&n.ident)),
            UseTree::Rename(r) if r.ident == "self" => {
                self.name(r.rename.to_string(), before.to_vec());
            }
            UseTree::Rename(r) => self.name(r.rename.to_string(), with(&r.ident)),
            UseTree::Glob(_) => self.module.globs.push(before.to_vec()),
            UseTree::Group(g) => {
                for tree in &g.items {
                    self.import(before, tree);
                }
            }
        }
    }

    fn name(&mut self, name: String, path: Segments) {
        self.module.paths.insert(path.clone());
        // `pub(crate) use some_macro;` stands for the macro itself.
        if path != [name.as_str()] {
            self.module.imports.insert(name, path);
        }
    }

    /// Paths among the tokens of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Segments::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(p) if p.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.end(&mut path);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Segments) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.module.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = match item {
            Item::Const(i) => (&i.attrs, Some(&i.ident)),
            Item::Enum(i) => (&i.attrs, Some(&i.ident)),
            Item::Fn(i) => (&i.attrs, Some(&i.sig.ident)),
            Item::Macro(i) => (&i.attrs, i.ident.as_ref()),
            Item::Static(i) => (&i.attrs, Some(&i.ident)),
            Item::Struct(i) => (&i.attrs, Some(&i.ident)),
            Item::Trait(i) => (&i.attrs, Some(&i.ident)),
            Item::Type(i) => (&i.attrs, Some(&i.ident)),
            Item::Union(i) => (&i.attrs, Some(&i.ident)),
            Item::Impl(i) => (&i.attrs, None),
            Item::Use(i) => (&i.attrs, None),
            Item::Mod(_) => return,
            _ => return visit::visit_item(self, item),
        };
        if only_for_tests(attributes) {
            return;
        }
        self.module.items.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments: Segments = (path.segments.iter())
            .map(|s| s.ident.to_string())
            .collect();
        self.end(&mut segments);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}
