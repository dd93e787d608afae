//! Typed names of tasks and of their parents.

use std::fmt;
use std::str::FromStr;

/// The name of a task: `deadline/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}/tasks/{task}` or
/// `omics/runs/{run}/tasks/{task}`.
#[allow(missing_docs)] // the fields are the ids
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TaskName {
    /// A task of an AWS Deadline Cloud render job.
    Deadline { farm: String, queue: String, job: String, step: String, task: String },
    /// A task of an AWS HealthOmics workflow run.
    Omics { run: String, task: String },
}

/// The name of a parent of tasks: a prefix that ends with a queue, job, step or run.
#[allow(missing_docs)] // the fields are the ids
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ParentName {
    /// A queue of a farm.
    DeadlineQueue { farm: String, queue: String },
    /// A render job.
    DeadlineJob { farm: String, queue: String, job: String },
    /// A step of a render job.
    DeadlineStep { farm: String, queue: String, job: String, step: String },
    /// A workflow run.
    OmicsRun { run: String },
}

/// The error of a malformed name, or of an id that cannot be part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName(String);

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidName {}

const DEADLINE: [&str; 5] = ["farm", "queue", "job", "step", "task"];
const OMICS: [&str; 2] = ["run", "task"];

impl TaskName {
    /// Formats the name.
    ///
    /// # Errors
    ///
    /// An id is empty or contains a slash.
    pub fn format(&self) -> Result<String, InvalidName> {
        match self {
            Self::Deadline { farm, queue, job, step, task } => {
                join("deadline", &DEADLINE, &[farm, queue, job, step, task])
            }
            Self::Omics { run, task } => join("omics", &OMICS, &[run, task]),
        }
    }
}

impl ParentName {
    /// Formats the name.
    ///
    /// # Errors
    ///
    /// An id is empty or contains a slash.
    pub fn format(&self) -> Result<String, InvalidName> {
        match self {
            Self::DeadlineQueue { farm, queue } => join("deadline", &DEADLINE, &[farm, queue]),
            Self::DeadlineJob { farm, queue, job } => {
                join("deadline", &DEADLINE, &[farm, queue, job])
            }
            Self::DeadlineStep { farm, queue, job, step } => {
                join("deadline", &DEADLINE, &[farm, queue, job, step])
            }
            Self::OmicsRun { run } => join("omics", &OMICS, &[run]),
        }
    }
}

impl FromStr for TaskName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let forms = [("deadline", &DEADLINE[..]), ("omics", &OMICS[..])];
        match ids(name, &forms)?.as_slice() {
            [farm, queue, job, step, task] => Ok(Self::Deadline {
                farm: farm.clone(),
                queue: queue.clone(),
                job: job.clone(),
                step: step.clone(),
                task: task.clone(),
            }),
            [run, task] => Ok(Self::Omics { run: run.clone(), task: task.clone() }),
            _ => Err(invalid(name, &forms)),
        }
    }
}

impl FromStr for ParentName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let forms = [
            ("deadline", &DEADLINE[..4]),
            ("deadline", &DEADLINE[..3]),
            ("deadline", &DEADLINE[..2]),
            ("omics", &OMICS[..1]),
        ];
        match ids(name, &forms)?.as_slice() {
            [farm, queue, job, step] => Ok(Self::DeadlineStep {
                farm: farm.clone(),
                queue: queue.clone(),
                job: job.clone(),
                step: step.clone(),
            }),
            [farm, queue, job] => {
                Ok(Self::DeadlineJob { farm: farm.clone(), queue: queue.clone(), job: job.clone() })
            }
            [farm, queue] => Ok(Self::DeadlineQueue { farm: farm.clone(), queue: queue.clone() }),
            [run] => Ok(Self::OmicsRun { run: run.clone() }),
            _ => Err(invalid(name, &forms)),
        }
    }
}

fn ids(name: &str, forms: &[(&str, &[&str])]) -> Result<Vec<String>, InvalidName> {
    let (service, rest) = name.split_once('/').unwrap_or((name, ""));
    let parts: Vec<&str> = rest.split('/').collect();
    let matches = |collections: &[&str]| {
        parts.len() == 2 * collections.len()
            && collections.iter().zip(parts.chunks(2)).all(|(collection, pair)| {
                pair[0].strip_suffix('s') == Some(collection) && !pair[1].is_empty()
            })
    };
    if forms.iter().any(|(prefix, collections)| *prefix == service && matches(collections)) {
        Ok(parts.chunks(2).map(|pair| pair[1].to_owned()).collect())
    } else {
        Err(invalid(name, forms))
    }
}

fn invalid(name: &str, forms: &[(&str, &[&str])]) -> InvalidName {
    let forms: Vec<String> = forms
        .iter()
        .map(|(service, collections)| {
            collections
                .iter()
                .fold((*service).to_owned(), |form, each| format!("{form}/{each}s/{{{each}}}"))
        })
        .collect();
    InvalidName(format!("{name:?} is not a name; the form is {}", forms.join(" or ")))
}

fn join(service: &str, collections: &[&str], ids: &[&String]) -> Result<String, InvalidName> {
    let mut name = service.to_owned();
    for (collection, id) in collections.iter().zip(ids) {
        if id.is_empty() || id.contains('/') {
            return Err(InvalidName(format!(
                "the id {id:?} in {collection}s is empty or contains a slash"
            )));
        }
        name = format!("{name}/{collection}s/{id}");
    }
    Ok(name)
}
