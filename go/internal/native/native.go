// Package native keeps the folder of the C header and the static library in vendored copies.
package native
