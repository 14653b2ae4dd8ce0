// Package native is the folder of the static library for Linux on amd64: why it is a package, the one above says.
package native
