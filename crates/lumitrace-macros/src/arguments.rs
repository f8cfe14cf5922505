//! What stands in the parentheses of `#[trace(...)]`.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, LitStr, Token, parenthesized};

/// The arguments of one `#[trace(...)]`.
#[derive(Default)]
pub(crate) struct Arguments {
    /// `name = "..."`.
    pub(crate) name: Option<LitStr>,
    /// `attributes(key = expression, ...)`.
    pub(crate) attributes: Vec<Attribute>,
    /// `err`.
    pub(crate) records_error: bool,
}

/// One `key = expression`.
pub(crate) struct Attribute {
    pub(crate) key: String,
    pub(crate) value: Expr,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let keyword: Ident = input.parse()?;
            match keyword.to_string().as_str() {
                "name" => {
                    input.parse::<Token![=]>()?;
                    arguments.name = Some(input.parse()?);
                }
                "attributes" => {
                    let list;
                    parenthesized!(list in input);
                    let list = Punctuated::<Attribute, Token![,]>::parse_terminated(&list)?;
                    arguments.attributes.extend(list);
                }
                "err" => arguments.records_error = true,
                other => {
                    let message =
                        format!("unknown argument `{other}`: use name, attributes(...) or err");
                    return Err(syn::Error::new(keyword.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

impl Parse for Attribute {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = if input.peek(LitStr) {
            input.parse::<LitStr>()?.value()
        } else {
            input.parse::<Ident>()?.to_string()
        };
        input.parse::<Token![=]>()?;
        Ok(Self {
            key,
            value: input.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_arguments_are_read_in_any_order() {
        let text = r#"err, attributes(pair = pair, "in.words" = 1 + 2,), name = "load""#;
        let arguments: Arguments = syn::parse_str(text).unwrap();
        assert_eq!(arguments.name.unwrap().value(), "load");
        let keys: Vec<_> = arguments
            .attributes
            .into_iter()
            .map(|attribute| attribute.key)
            .collect();
        assert_eq!(keys, ["pair", "in.words"]);
        assert!(arguments.records_error);
    }

    #[test]
    fn an_unknown_argument_is_an_error_that_names_the_known_ones() {
        let error = syn::parse_str::<Arguments>("nam = \"load\"")
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("`nam`") && error.contains("attributes(...)"),
            "{error}"
        );
    }
}
