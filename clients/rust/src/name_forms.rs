//! Parsing and formatting of names, by their forms: `omics/runs/{run}/tasks/{task}`.

use std::fmt;

/// The error of a malformed name, or of an id that cannot be part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName(String);

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidName {}

/// Defines enums of names: a variant for each form, with the ids as fields.
macro_rules! names {
    ($(
        $(#[$enum_doc:meta])*
        $Name:ident {
            $($(#[$doc:meta])* $Variant:ident { $($id:ident),* } = $form:literal,)*
        }
    )*) => {$(
        $(#[$enum_doc])*
        #[allow(missing_docs)] // the fields are the ids
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $Name {
            $($(#[$doc])* $Variant { $($id: String),* },)*
        }

        impl $Name {
            /// Formats the name.
            ///
            /// # Errors
            ///
            /// An id is empty or contains a slash.
            pub fn format(&self) -> Result<String, $crate::InvalidName> {
                match self {
                    $(Self::$Variant { $($id),* } => {
                        $crate::name_forms::join($form, &[$($id),*])
                    })*
                }
            }
        }

        impl std::str::FromStr for $Name {
            type Err = $crate::InvalidName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                $(if let Some(ids) = $crate::name_forms::matched($form, name) {
                    let mut ids = ids.into_iter().map(str::to_owned);
                    return Ok(Self::$Variant { $($id: ids.next().unwrap_or_default()),* });
                })*
                Err($crate::name_forms::invalid(name, &[$($form),*]))
            }
        }
    )*};
}
pub(crate) use names;

/// Returns the ids in a name, if it has the form.
pub(crate) fn matched<'a>(form: &str, name: &'a str) -> Option<Vec<&'a str>> {
    let mut ids = Vec::new();
    let mut parts = name.split('/');
    for segment in form.split('/') {
        let part = parts.next()?;
        if is_id(segment) && !part.is_empty() {
            ids.push(part);
        } else if is_id(segment) || part != segment {
            return None;
        }
    }
    parts.next().is_none().then_some(ids)
}

pub(crate) fn join(form: &str, ids: &[&String]) -> Result<String, InvalidName> {
    if let Some(id) = ids.iter().find(|id| id.is_empty() || id.contains('/')) {
        return Err(InvalidName(format!("an id is empty or contains a slash: {id:?}, in {form}")));
    }
    let mut ids = ids.iter().map(|id| id.as_str());
    let fill = |part| if is_id(part) { ids.next().unwrap_or_default() } else { part };
    Ok(form.split('/').map(fill).collect::<Vec<_>>().join("/"))
}

pub(crate) fn invalid(name: &str, forms: &[&str]) -> InvalidName {
    InvalidName(format!("{name:?} is not a name; the form is {}", forms.join(" or ")))
}

/// Returns whether a segment of a form stands for an id.
fn is_id(segment: &str) -> bool {
    segment.starts_with('{')
}
