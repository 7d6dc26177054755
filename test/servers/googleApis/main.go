// Google's REST APIs of Pub/Sub and Cloud KMS, for tests: `googleapis PORT`, on 127.0.0.1; PORT may be 0, and the first line of stdout says which it became.
//
// Pub/Sub is Google's own fake (pstest). Google has none of Cloud KMS: that is AES-GCM here, of the published interface and the documented refusals. Both are behind one translation of
// REST into gRPC, which reads Google's own annotations: what they do not know, a field that they do not have, a value of the wrong kind, is refused as Google refuses it.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

type route struct {
	verb    string
	pattern *regexp.Regexp
	fields  []string
	body    string
	method  protoreflect.MethodDescriptor
	conn    *grpc.ClientConn
}

func main() {
	messages := pstest.NewServer()
	keys := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(keys, &keyService{})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go keys.Serve(inner)

	var routes []route
	routes = append(routes, routesOf(pubsubpb.File_google_pubsub_v1_pubsub_proto, messages.Addr)...)
	routes = append(routes, routesOf(kmspb.File_google_cloud_kms_v1_service_proto, inner.Addr().String())...)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	check(http.Serve(listener, http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		result, err := serve(routes, request)
		answer.Header().Set("content-type", "application/json; charset=UTF-8")
		if err != nil {
			refusal := status.Convert(err)
			answer.WriteHeader(httpStatus[refusal.Code()])
			fmt.Fprintf(answer, `{"error":{"code":%d,"message":%q,"status":%q}}`, httpStatus[refusal.Code()], refusal.Message(), codeName(refusal.Code()))
			return
		}
		answer.Write(result)
	})))
}

func serve(routes []route, request *http.Request) ([]byte, error) {
	if request.Header.Get("authorization") == "" {
		return nil, status.Error(codes.Unauthenticated, "no credentials")
	}
	for _, each := range routes {
		values := each.pattern.FindStringSubmatch(request.URL.Path)
		if each.verb != request.Method || values == nil {
			continue
		}
		input := newMessage(each.method.Input())
		if each.body == "*" {
			text, err := io.ReadAll(request.Body)
			if err != nil {
				return nil, err
			}
			if err := protojson.Unmarshal(text, input); err != nil {
				return nil, status.Error(codes.InvalidArgument, err.Error())
			}
		} else if each.body != "" {
			return nil, status.Error(codes.Unimplemented, each.body)
		}
		for index, name := range each.fields {
			field := input.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
			input.ProtoReflect().Set(field, protoreflect.ValueOfString(values[index+1]))
		}
		for name := range request.URL.Query() {
			if !strings.HasPrefix(name, "$") && name != "pageSize" {
				return nil, status.Error(codes.InvalidArgument, "unknown query parameter "+name)
			}
		}
		output := newMessage(each.method.Output())
		full := "/" + string(each.method.Parent().FullName()) + "/" + string(each.method.Name())
		if err := each.conn.Invoke(context.Background(), full, input, output); err != nil {
			return nil, err
		}
		return protojson.Marshal(output)
	}
	return nil, status.Error(codes.NotFound, "no such method")
}

// What google.api.http says of each method of a file.
func routesOf(file protoreflect.FileDescriptor, address string) []route {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	var routes []route
	for s := 0; s < file.Services().Len(); s++ {
		methods := file.Services().Get(s).Methods()
		for m := 0; m < methods.Len(); m++ {
			rule, ok := proto.GetExtension(methods.Get(m).Options(), annotations.E_Http).(*annotations.HttpRule)
			if !ok || rule == nil {
				continue
			}
			for _, each := range append([]*annotations.HttpRule{rule}, rule.AdditionalBindings...) {
				verb, template := verbOf(each)
				pattern, fields := compile(template)
				routes = append(routes, route{verb, pattern, fields, each.Body, methods.Get(m), conn})
			}
		}
	}
	return routes
}

func verbOf(rule *annotations.HttpRule) (string, string) {
	switch pattern := rule.Pattern.(type) {
	case *annotations.HttpRule_Get:
		return "GET", pattern.Get
	case *annotations.HttpRule_Put:
		return "PUT", pattern.Put
	case *annotations.HttpRule_Post:
		return "POST", pattern.Post
	case *annotations.HttpRule_Delete:
		return "DELETE", pattern.Delete
	case *annotations.HttpRule_Patch:
		return "PATCH", pattern.Patch
	}
	return "", ""
}

var variable = regexp.MustCompile(`\{(\w+)=([^}]+)\}`)

// "/v1/{name=projects/*/topics/*}:publish" as an expression, and the fields that it fills.
func compile(template string) (*regexp.Regexp, []string) {
	var fields []string
	expression := variable.ReplaceAllStringFunc(template, func(text string) string {
		parts := variable.FindStringSubmatch(text)
		fields = append(fields, parts[1])
		inner := strings.ReplaceAll(parts[2], "**", "\x00")
		inner = strings.ReplaceAll(inner, "*", "[^/]+")
		return "(" + strings.ReplaceAll(inner, "\x00", ".+") + ")"
	})
	return regexp.MustCompile("^" + expression + "$"), fields
}

func newMessage(descriptor protoreflect.MessageDescriptor) proto.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	check(err)
	return kind.New().Interface()
}

var httpStatus = map[codes.Code]int{
	codes.InvalidArgument: 400, codes.FailedPrecondition: 400, codes.OutOfRange: 400, codes.Unauthenticated: 401, codes.PermissionDenied: 403,
	codes.NotFound: 404, codes.AlreadyExists: 409, codes.Aborted: 409, codes.ResourceExhausted: 429, codes.Internal: 500, codes.Unknown: 500,
	codes.Unimplemented: 501, codes.Unavailable: 503, codes.DeadlineExceeded: 504,
}

// NOT_FOUND of NotFound.
func codeName(code codes.Code) string {
	return strings.ToUpper(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(code.String(), "${1}_${2}"))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
