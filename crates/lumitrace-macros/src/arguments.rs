//! What stands in the parentheses of `#[trace(...)]`.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, LitStr, Token, parenthesized, token};

/// The arguments of one `#[trace(...)]`.
#[derive(Default)]
pub(crate) struct Arguments {
    /// `name = "..."`.
    pub(crate) name: Option<LitStr>,
    /// `tracer = expression`.
    pub(crate) tracer: Option<Expr>,
    /// `kind = "..."`: the variant of `SpanKind`.
    pub(crate) kind: Option<Ident>,
    /// `attributes(key = expression, ...)`.
    pub(crate) attributes: Vec<Attribute>,
    /// `args` or `args(name, ...)`.
    pub(crate) recorded: Recorded,
    /// `redact(name, ...)`.
    pub(crate) redacted: Vec<Ident>,
    /// `result`.
    pub(crate) records_result: bool,
    /// `err`.
    pub(crate) records_error: bool,
}

/// Which arguments of the function are recorded.
#[derive(Default)]
pub(crate) enum Recorded {
    #[default]
    None,
    /// `args`.
    All,
    /// `args(name, ...)`.
    Chosen(Vec<Ident>),
}

/// One `key = expression`.
pub(crate) struct Attribute {
    pub(crate) key: String,
    pub(crate) value: Expr,
}

const KNOWN: &str =
    "name, kind, tracer, attributes(...), args, args(...), redact(...), result or err";

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            arguments.parse_one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn parse_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let keyword: Ident = input.parse()?;
        match keyword.to_string().as_str() {
            "name" => self.name = Some(assigned(input)?),
            "tracer" => self.tracer = Some(assigned(input)?),
            "kind" => self.kind = Some(span_kind(&assigned(input)?)?),
            "attributes" => self.attributes.extend(list::<Attribute>(input)?),
            "args" if input.peek(token::Paren) => {
                self.recorded = Recorded::Chosen(list(input)?);
            }
            "args" => self.recorded = Recorded::All,
            "redact" => self.redacted.extend(list::<Ident>(input)?),
            "result" => self.records_result = true,
            "err" => self.records_error = true,
            other => {
                let message = format!("unknown argument `{other}`: use {KNOWN}");
                return Err(syn::Error::new(keyword.span(), message));
            }
        }
        Ok(())
    }
}

/// What stands behind `=`.
fn assigned<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// What stands in parentheses, separated by commas.
fn list<T: Parse>(input: ParseStream<'_>) -> syn::Result<Vec<T>> {
    let list;
    parenthesized!(list in input);
    let list = Punctuated::<T, Token![,]>::parse_terminated(&list)?;
    Ok(list.into_iter().collect())
}

/// The variant of `SpanKind` with this name.
fn span_kind(name: &LitStr) -> syn::Result<Ident> {
    let variant = match name.value().as_str() {
        "internal" => "Internal",
        "server" => "Server",
        "client" => "Client",
        "producer" => "Producer",
        "consumer" => "Consumer",
        other => {
            let message = format!(
                "unknown kind {other:?}: use internal, server, client, producer or consumer"
            );
            return Err(syn::Error::new(name.span(), message));
        }
    };
    Ok(Ident::new(variant, name.span()))
}

impl Parse for Attribute {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = if input.peek(LitStr) {
            input.parse::<LitStr>()?.value()
        } else {
            input.parse::<Ident>()?.to_string()
        };
        Ok(Self {
            key,
            value: assigned(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        let error = syn::parse_str::<Arguments>(text).err();
        error.unwrap().to_string()
    }

    #[test]
    fn all_arguments_are_read_in_any_order() {
        let text = r#"err, attributes(pair = pair, "in.words" = 1 + 2,), args(first, second), result,
            redact(password), kind = "client", tracer = self.tracer, name = "load""#;
        let arguments: Arguments = syn::parse_str(text).unwrap();
        assert_eq!(arguments.name.unwrap().value(), "load");
        let keys: Vec<_> = arguments
            .attributes
            .into_iter()
            .map(|attribute| attribute.key)
            .collect();
        assert_eq!(keys, ["pair", "in.words"]);
        assert!(matches!(arguments.recorded, Recorded::Chosen(names) if names.len() == 2));
        assert_eq!(arguments.redacted, ["password"]);
        assert_eq!(arguments.kind.unwrap(), "Client");
        assert!(arguments.tracer.is_some());
        assert!(arguments.records_error && arguments.records_result);
        let arguments: Arguments = syn::parse_str("args, err").unwrap();
        assert!(matches!(arguments.recorded, Recorded::All));
    }

    #[test]
    fn an_unknown_argument_or_kind_is_an_error_that_names_the_known_ones() {
        let error = error_of("nam = \"load\"");
        assert!(
            error.contains("`nam`") && error.contains("attributes(...)"),
            "{error}"
        );
        let error = error_of("kind = \"Client\"");
        assert!(
            error.contains("\"Client\"") && error.contains("producer"),
            "{error}"
        );
    }
}
