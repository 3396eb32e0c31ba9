// What the recipes in Go import, so that go.mod pins it and one build compiles it for all of them.
package main

import (
	_ "github.com/anthropics/anthropic-sdk-go"
	_ "github.com/openai/openai-go/v3"
)

func main() {}
