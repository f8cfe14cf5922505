//! The function that comes out of `#[trace]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemFn, ReturnType, Type};

use crate::arguments::Arguments;

/// `function` with its body inside a span; everything outside the body is left as it was.
pub(crate) fn traced(arguments: &Arguments, mut function: ItemFn) -> syn::Result<TokenStream> {
    if let Some(token) = &function.sig.constness {
        return Err(syn::Error::new(
            token.span(),
            "a const fn cannot record a span at run time",
        ));
    }
    let span = start_span(arguments, &function);
    let body = &function.block;
    let body = match (function.sig.asyncness.is_some(), arguments.records_error) {
        (false, false) => quote! {
            let __lumitrace_span = #span.enter();
            #body
        },
        (false, true) => {
            let body = typed_closure(&function);
            quote! {
                let __lumitrace_span = #span.enter();
                __lumitrace_span.record_result((#body)())
            }
        }
        (true, false) => quote! {
            ::lumitrace::FutureExt::in_span(async move #body, #span.start()).await
        },
        (true, true) => {
            let returned = returned_type(&function);
            quote! {
                let __lumitrace_body = async move {
                    let __lumitrace_result: #returned = (async move #body).await;
                    ::lumitrace::current_span().record_result(__lumitrace_result)
                };
                ::lumitrace::FutureExt::in_span(__lumitrace_body, #span.start()).await
            }
        }
    };
    *function.block = syn::parse_quote!({ #body });
    Ok(quote!(#function))
}

/// The expression that builds the span; the tracer, named after the module, is looked up once.
fn start_span(arguments: &Arguments, function: &ItemFn) -> TokenStream {
    let function_name = function.sig.ident.to_string();
    let name = arguments
        .name
        .as_ref()
        .map_or_else(|| function_name.clone(), |name| name.value());
    let attributes = arguments.attributes.iter().map(|attribute| {
        let (key, value) = (&attribute.key, &attribute.value);
        quote_spanned!(value.span() => .attribute(#key, #value))
    });
    quote! {
        {
            static __LUMITRACE_TRACER: ::std::sync::OnceLock<::lumitrace::Tracer> =
                ::std::sync::OnceLock::new();
            __LUMITRACE_TRACER
                .get_or_init(|| ::lumitrace::tracer(::std::module_path!()))
                .span(#name)
                .attribute("function", #function_name)
                #(#attributes)*
        }
    }
}

/// The body as a closure, so that `return` and `?` inside it end the body and not the function.
fn typed_closure(function: &ItemFn) -> TokenStream {
    let (body, returned) = (&function.block, returned_type(function));
    quote!(move || -> #returned #body)
}

/// The written return type, or `_` where it cannot be repeated (`impl Trait` inside).
fn returned_type(function: &ItemFn) -> TokenStream {
    match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, returned) if contains_impl_trait(returned) => quote!(_),
        ReturnType::Type(_, returned) => quote!(#returned),
    }
}

fn contains_impl_trait(returned: &Type) -> bool {
    // `impl` is a keyword: as a token it can only begin an `impl Trait`.
    fn any_impl(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(ident) => ident == "impl",
            proc_macro2::TokenTree::Group(group) => any_impl(group.stream()),
            _ => false,
        })
    }
    any_impl(quote!(#returned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_stays_as_it_is() {
        let text = "pub async unsafe fn load<'a, T: Copy>(&'a mut self, t: T) -> Result<&'a T, E> \
                    where T: Send { todo() }";
        let function: ItemFn = syn::parse_str(text).unwrap();
        let arguments = Arguments {
            records_error: true,
            ..Arguments::default()
        };
        let traced = traced(&arguments, function.clone()).unwrap();
        let traced: ItemFn = syn::parse2(traced).unwrap();
        let (before, after) = (&function.sig, &traced.sig);
        assert_eq!(quote!(#before).to_string(), quote!(#after).to_string());
    }

    #[test]
    fn a_const_fn_is_refused() {
        let function = syn::parse_str("const fn f() {}").unwrap();
        let error = traced(&Arguments::default(), function)
            .unwrap_err()
            .to_string();
        assert!(error.contains("const fn"), "{error}");
    }
}
